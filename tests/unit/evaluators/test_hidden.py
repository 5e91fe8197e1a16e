"""What is left of a verdict on hidden data."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.attempt import Direction, StageResult, Status, Verdict, better
from harness.evaluators.hidden import coarse, told
from harness.tasks.evaluation import HiddenSpec

DIRECTIONS = st.sampled_from(("maximize", "minimize"))
VALUES = st.floats(-1e9, 1e9)
STEPS = st.floats(1e-6, 1e6)
JUDGE = StageResult("judge", Status.SCORED, 1.0, "what the judge printed")
SCORED = Verdict(Status.SCORED, 0.123456, {"auc": 0.777}, "row 3 is wrong", (JUDGE,))


@given(VALUES, STEPS, DIRECTIONS)
def test_steps_never_flatter(value: float, step: float, direction: Direction) -> None:
    rounded = coarse(value, step, direction)
    slack = 1e-9 * max(abs(value), step)
    assert not better(direction, rounded, value) or abs(rounded - value) <= slack
    assert abs(rounded - value) <= step + slack
    assert coarse(rounded, step, direction) == rounded


@given(st.lists(VALUES, min_size=2, max_size=2), STEPS, DIRECTIONS)
def test_steps_keep_the_order(pair: list[float], step: float, direction: Direction) -> None:
    low, high = sorted(pair)
    assert coarse(low, step, direction) <= coarse(high, step, direction) + 1e-9 * abs(high)


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324])
def test_extremes_stay_finite(value: float) -> None:
    assert math.isfinite(coarse(value, 1e-300, "maximize"))


def test_score_in_steps_and_no_more_words() -> None:
    verdict = told(SCORED, HiddenSpec(step=0.05), "maximize")
    assert verdict.score == pytest.approx(0.1)
    assert (verdict.metrics, verdict.feedback) == ({}, "")
    assert verdict.stages[0].detail == ""
    assert told(SCORED, HiddenSpec(step=0.05), "minimize").score == pytest.approx(0.15)


def test_what_may_be_told_is_told() -> None:
    verdict = told(SCORED, HiddenSpec(step=0.5, metrics=True, feedback=True), "maximize")
    assert (verdict.score, verdict.metrics) == (0.0, {"auc": 0.5})
    assert verdict.feedback == "row 3 is wrong"


def test_refusals_of_the_judge_have_no_reason() -> None:
    refused = Verdict(Status.INVALID, feedback="row 3 is wrong", stages=(JUDGE,))
    assert told(refused, HiddenSpec(), "maximize").feedback == "refused by the judge"


def test_what_the_candidate_came_to_is_told() -> None:
    produce = StageResult("produce", Status.INVALID, 1.0, "printed")
    missing = Verdict(Status.INVALID, feedback="answer.json was not written", stages=(produce,))
    crashed = Verdict(Status.FAILED, feedback="Traceback", stages=(produce,))
    for verdict in (missing, crashed):
        assert told(verdict, HiddenSpec(step=1), "maximize") is verdict
