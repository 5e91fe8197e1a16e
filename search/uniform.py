"""The control: expand any scored attempt."""

from harness.attempt import Attempt, Direction, Operator, Status
from harness.ids import SEED_ATTEMPT, AttemptId
from harness.search.base import Directive, SearchContext
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph

TRIES = 32
"""Draws before `avoid` is ignored."""


class RandomPolicy:
    """Improve an attempt drawn uniformly from all that have a score."""

    def __init__(self, *, seed: int, direction: Direction, config: SearchConfig) -> None:
        self._scored: list[AttemptId] = []

    def observe(self, attempt: Attempt) -> None:
        if attempt.status is Status.SCORED:
            self._scored.append(attempt.id)

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        pool = self._scored or [SEED_ATTEMPT]
        base = context.rng.choice(pool)
        for _ in range(TRIES):
            if base not in context.avoid:
                break
            base = context.rng.choice(pool)
        return Directive(
            number=context.number,
            operator=Operator.IMPROVE,
            base=base,
            references=(),
            reason=f"Attempt {base} was drawn uniformly from {len(pool)} scored attempts.",
        )
