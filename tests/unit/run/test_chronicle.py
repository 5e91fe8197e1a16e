"""What the memory is asked for a directive, and which records an attempt cites."""

from typing import Any

import pytest

from harness.attempt import Attempt, Operator, Status, Verdict
from harness.ids import AgentId, AttemptId, CommitHash, RecordId, TreeHash
from harness.run.chronicle import cited_by, directive_query

FIRST, SECOND = RecordId("ab12cd34" + "0" * 24), RecordId("ffff0000" + "1" * 24)


def attempt(title: str, *, feedback: str = "", detail: dict[str, Any] | None = None) -> Attempt:
    return Attempt(
        id=AttemptId("3"),
        commit=CommitHash("0" * 40),
        tree=TreeHash("0" * 40),
        agent=AgentId("agent-1"),
        operator=Operator.IMPROVE,
        parents=(),
        references=(),
        title=title,
        status=Status.FAILED,
        created_at=0.0,
        verdict=Verdict(Status.FAILED, feedback=feedback),
        directive=1,
        detail=detail or {},
    )


@pytest.mark.parametrize(
    ("title", "detail", "cited"),
    [
        ("Larger steps, after ab12cd34", {}, [FIRST]),
        ("Larger steps", {"from": ["ffff0000", FIRST]}, [FIRST, SECOND]),
        ("ab12cd3 is too short, ab12cd35 another", {}, []),
    ],
)
def test_an_attempt_cites_by_the_beginning_of_an_id(
    title: str, detail: dict[str, Any], cited: list[RecordId]
) -> None:
    assert cited_by(attempt(title, detail=detail), [FIRST, SECOND, FIRST]) == cited


def test_each_operator_asks_for_what_it_needs() -> None:
    base = attempt("Grow the radii", feedback="IndexError: list index out of range " + "x" * 900)
    draft = directive_query(Operator.DRAFT, base, "Pack circles into a square.")
    assert draft == "Pack circles into a square."
    debug = directive_query(Operator.DEBUG, base, "Pack circles.")
    assert debug.startswith("Grow the radii\nIndexError: list index out of range")
    assert len(debug) > 600
    improve = directive_query(Operator.IMPROVE, base, "Pack circles.")
    assert improve.startswith("improve Grow the radii\n")
    assert len(improve) < 240
