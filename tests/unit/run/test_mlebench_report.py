"""What a report and the table of a group say of how far scores lie apart."""

from typing import Any

from harness.run.mlebench import validation_lines
from harness.run.mlebench_table import render, summary
from harness.tasks.mlebench.checks import MARKS


def _report(**more: Any) -> dict[str, Any]:
    medals = {f"{name}_medal": name == "bronze" for name in ("gold", "silver", "bronze")}
    known = {"score": 0.25, "any_medal": True, "valid_submission": True, "above_median": True}
    trust: dict[str, Any] = {
        "attempt": "7",
        "validation_score": 0.125,
        "own_validation": 0.1,
        "marks": [],
        "marked_attempts": dict.fromkeys(MARKS, 0),
    }
    return {**medals, **known, "fitness": "hidden", **trust, **more}


def test_three_scores_of_the_submitted_program_stand_side_by_side() -> None:
    clean = "\n".join(validation_lines(_report(own_validation=None)))
    assert "(attempt 7): own validation none was printed, hidden validation 0.125" in clean
    assert "held-out test 0.25; marks: none." in clean
    assert "Marked attempts: none." in clean
    counts = dict.fromkeys(MARKS, 0) | {"mark_gap": 3}
    marked = _report(marks=[MARKS["mark_gap"]], marked_attempts=counts)
    told = "\n".join(validation_lines(marked))
    assert f"marks: {MARKS['mark_gap']}." in told
    assert f"Marked attempts: 3 because {MARKS['mark_gap']}." in told
    assert validation_lines(_report(validation_score=None)) == []
    assert validation_lines({"score": 0.5}) == [], "a report of an earlier version"


def test_the_table_has_hidden_scores_beside_those_of_the_test() -> None:
    reports = {
        0: {"demo-digits": _report()},
        1: {"demo-digits": _report(score=None, validation_score=None, marks=["a mark"])},
    }
    content = summary(reports)
    (row,) = content["competitions"]
    assert (row["validation_scores"], row["marked"]) == ([0.125, None], 1)
    assert "| demo-digits | 2 | 0 | 0 | 2 | 0.25, - | 0.125, - | 1 |" in render(content)
