"""The other control: independent drafts, no search at all."""

from harness.attempt import Attempt, Direction, Operator
from harness.ids import SEED_ATTEMPT
from harness.search.base import Directive, SearchContext
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph


class BestOfNPolicy:
    """Every directive is a draft from the seed; the best of them is the result."""

    def __init__(self, *, seed: int, direction: Direction, config: SearchConfig) -> None:
        pass

    def observe(self, attempt: Attempt) -> None:
        pass

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        return Directive(
            number=context.number,
            operator=Operator.DRAFT,
            base=SEED_ATTEMPT,
            references=(),
            reason="Every attempt is a draft of its own.",
        )
