"""What a search policy is given and what it answers."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from harness.attempt import Attempt, Operator
from harness.ids import AgentId, AttemptId
from harness.search.graph import AttemptGraph


@dataclass(frozen=True, slots=True)
class Directive:
    """What an agent is asked to do next.

    `number` counts the directives of a run from 1; `base` is the attempt whose tree the workspace
    is put on, `references` are attempts to take from; `reason` is one sentence for people and
    models.
    """

    number: int
    operator: Operator
    base: AttemptId
    references: tuple[AttemptId, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SearchContext:
    """What a policy may look at beside the graph.

    `progress` is the largest used share of any budget, in [0, 1]. `in_flight` holds the bases that
    other agents are expanding now, with repetition. `rng` derives from (seed, directive number).
    """

    number: int
    progress: float
    agent: AgentId
    in_flight: Collection[AttemptId]
    avoid: Collection[AttemptId]
    rng: random.Random


class SearchPolicy(Protocol):
    """Chooses what to expand.

    **State**: nothing that cannot be rebuilt by calling `observe` with the finished attempts in the
    order of their verdicts. **Cost**: under 2 ms per call at 10,000 attempts.
    """

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        """The next directive. The graph holds the scored seed at least."""
        ...

    def observe(self, attempt: Attempt) -> None:
        """Learn of a finished attempt (already in the graph)."""
        ...


def directive_rng(seed: int, number: int) -> random.Random:
    """Random numbers of directive `number`: a resumed run continues the same sequence."""
    return random.Random(f"{seed}:{number}")
