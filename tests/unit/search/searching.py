"""Parts of searches: finished attempts, what policies are asked with, policies that saw some."""

from collections.abc import Sequence

from hypothesis import strategies as st

from harness.attempt import Attempt, Direction, Operator, Status, Verdict
from harness.ids import SEED_AGENT, AgentId, AttemptId, CommitHash, TreeHash
from harness.search.base import SearchContext, SearchPolicy, directive_rng
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph
from harness.search.policies import make_policy

CONFIG = SearchConfig()
AGENT = AgentId("agent-1")


def finished(
    number: int,
    score: float | None,
    parents: Sequence[int] = (),
    references: Sequence[int] = (),
    operator: Operator = Operator.IMPROVE,
    status: Status | None = None,
) -> Attempt:
    """A finished attempt: scored, or failed when it has no score."""
    status = status or (Status.SCORED if score is not None else Status.FAILED)
    return Attempt(
        id=AttemptId(str(number)),
        commit=CommitHash("0" * 40),
        tree=TreeHash(f"{number:040x}"),
        agent=AGENT if parents else SEED_AGENT,
        operator=operator,
        parents=tuple(AttemptId(str(p)) for p in parents),
        references=tuple(AttemptId(str(r)) for r in references),
        title="",
        status=status,
        created_at=float(number),
        verdict=Verdict(status, score),
    )


def context(
    number: int,
    *,
    progress: float = 0.5,
    in_flight: Sequence[AttemptId] = (),
    avoid: Sequence[AttemptId] = (),
    seed: int = 0,
) -> SearchContext:
    return SearchContext(number, progress, AGENT, in_flight, avoid, directive_rng(seed, number))


def policy(name: str, attempts: Sequence[Attempt], direction: Direction) -> SearchPolicy:
    made = make_policy(name, seed=0, direction=direction, config=CONFIG)
    for attempt in attempts:
        made.observe(attempt)
    return made


def started(name: str, direction: Direction = "maximize") -> tuple[SearchPolicy, AttemptGraph]:
    seed = finished(0, 1.0, operator=Operator.DRAFT)
    return policy(name, [seed], direction), AttemptGraph(direction, [seed])


scores = st.one_of(st.none(), st.floats(-100, 100).map(lambda x: round(x, 1)))
