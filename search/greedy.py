"""Hill climbing: always expand the best."""

from harness.attempt import Attempt, Direction, Operator
from harness.ids import SEED_ATTEMPT
from harness.search.base import Directive, SearchContext
from harness.search.config import SearchConfig
from harness.search.front import Front
from harness.search.graph import AttemptGraph


class GreedyPolicy:
    """Improve the attempt with the best score; the newest among equals."""

    def __init__(self, *, seed: int, direction: Direction, config: SearchConfig) -> None:
        self._front = Front(direction, config.front)

    def observe(self, attempt: Attempt) -> None:
        self._front.observe(attempt)

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        groups = self._front.groups(context.avoid)
        base = groups[0][-1] if groups else SEED_ATTEMPT
        return Directive(
            number=context.number,
            operator=Operator.IMPROVE,
            base=base,
            references=(),
            reason=f"Attempt {base} has the best score so far.",
        )
