"""The graph: what is best does not depend on the order in which it is put together."""

from hypothesis import given
from hypothesis import strategies as st

from harness.attempt import Attempt, Operator, Status, Verdict
from harness.ids import AgentId, AttemptId, CommitHash, TreeHash
from harness.search.graph import AttemptGraph


def scored(number: int, score: float, at: float) -> Attempt:
    return Attempt(
        id=AttemptId(str(number)),
        commit=CommitHash("c"),
        tree=TreeHash("t"),
        agent=AgentId("agent-1"),
        operator=Operator.DRAFT,
        parents=(),
        references=(),
        title="",
        status=Status.SCORED,
        created_at=0.0,
        evaluated_at=at,
        verdict=Verdict(Status.SCORED, score=score),
    )


@given(st.permutations(range(6)), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_the_earliest_verdict_among_equals(order: list[int], scores: list[int]) -> None:
    """`order` is that of the verdicts; a resume rebuilds the graph in the order of submission."""
    attempts = [scored(n, scores[n], float(order.index(n))) for n in range(6)]
    rebuilt = AttemptGraph("maximize", attempts).best
    live = AttemptGraph("maximize", [attempts[n] for n in order]).best
    assert rebuilt is live
    assert live is min(attempts, key=lambda a: (-(a.score or 0), a.evaluated_at))
