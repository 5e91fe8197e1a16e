"""Self-tuning: a trial stays when it pays, goes when it does not, and never leaves its bounds."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.memory.open import open_store
from harness.memory.outcomes import tunings
from harness.memory.ranking import Weights
from harness.memory.tuning import BOUNDS, ENOUGH, Served, State, Tuner, decided

NOTHING: frozenset[str] = frozenset()


def outcomes(plain: int, trial: int | None = None) -> list[Served]:
    """So many improvements of `ENOUGH` on each side."""
    sides = [Served(False, n < plain) for n in range(ENOUGH)]
    return sides + ([] if trial is None else [Served(True, n < trial) for n in range(ENOUGH)])


def begun() -> State:
    found = decided(State(Weights()), outcomes(6), 100, NOTHING)
    assert found is not None
    return found[0]


def test_it_waits_until_there_is_enough() -> None:
    assert decided(State(Weights()), outcomes(6)[:-1], 9, NOTHING) is None
    assert decided(begun(), outcomes(6, 20)[:-1], 9, NOTHING) is None


def test_a_trial_that_pays_stays() -> None:
    state = begun()
    assert state.trial is not None
    found = decided(state, outcomes(6, 20), 200, NOTHING)
    assert found is not None
    assert found[0].weights == state.trial
    assert found[0].since == 200
    assert found[1].startswith("kept: 20 of 30 improved on trial, 6 of 30 without")


@pytest.mark.parametrize("trial", [0, 5, 6, 8])
def test_a_trial_that_does_not_clearly_pay_is_reverted(trial: int) -> None:
    state = begun()
    found = decided(state, outcomes(6, trial), 200, NOTHING)
    assert found is not None
    assert found[0].weights == state.weights
    assert found[1].startswith("reverted")


def test_after_a_round_in_vain_it_rests_until_it_stagnates() -> None:
    state = begun()
    for entry in range(200, 200 + 2 * len(BOUNDS)):
        found = decided(state, outcomes(12, 3), entry, NOTHING)
        assert found is not None
        state = found[0]
    assert state.trial is None
    assert state.weights == Weights()
    rest = decided(state, outcomes(12), 500, NOTHING)
    assert rest is not None
    assert rest[0].trial is None
    again = decided(rest[0], outcomes(1), 600, NOTHING)
    assert again is not None
    assert again[0].trial is not None


def test_what_the_configuration_fixes_is_never_tried() -> None:
    state = State(Weights(credit=0.0))
    for entry in range(60):
        side = None if state.trial is None else entry % ENOUGH
        found = decided(state, outcomes(5, side), entry, frozenset({"credit"}))
        assert found is not None
        state = found[0]
        assert state.weights.credit == 0.0
        assert state.trial is None or state.trial.credit == 0.0


@given(st.lists(st.tuples(st.integers(0, ENOUGH), st.integers(0, ENOUGH)), max_size=60))
def test_no_history_leads_out_of_the_bounds(history: list[tuple[int, int]]) -> None:
    state = State(Weights())
    for entry, (plain, trial) in enumerate(history):
        sides = outcomes(plain, None if state.trial is None else trial)
        found = decided(state, sides, entry, NOTHING)
        assert found is not None
        state = State.of(found[0].plain())
        assert state == found[0]
        for weights in (state.weights, state.trial or state.weights):
            for name, (low, high, _) in BOUNDS.items():
                assert low <= getattr(weights, name) <= high


def play(tuner: Tuner, path: Path, rounds: int, chance: float) -> None:
    """Recalls whose attempts improve with a probability that grows with the words' share."""
    store, draw = open_store(path), random.Random(1)
    for number in range(rounds):
        weights, trial = tuner.weights()
        store.log_shown(
            "recall", at=0.0, run="r", agent="a", query="q", shown=[],
            attempt=str(number), detail={"trial": trial},
        )  # fmt: skip
        improved = draw.random() < chance + 3 * (weights.lexical - 0.65)
        outcome = "improved" if improved else "worse"
        store.credit(at=0.0, run="r", agent="a", attempt=str(number), outcome=outcome, records=[])
        tuner.advance(float(number))
    store.close()


def test_it_finds_the_better_side_and_says_how(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    tuner = Tuner(store, Weights(), fixed=NOTHING, active=True)
    play(tuner, tmp_path, 160, 0.3)
    assert tuner.weights()[0].lexical == pytest.approx(0.75)
    reasons = [each.reason for each in tunings(store, limit=9)]
    assert any(reason.startswith("kept") for reason in reasons)
    assert "trying lexical 0.75 instead of 0.65" in reasons[-1]
    store.close()


def test_off_means_the_defaults_and_no_trace(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    tuner = Tuner(store, Weights(), fixed=NOTHING, active=False)
    play(tuner, tmp_path, 40, 0.3)
    assert tuner.weights() == (Weights(), False)
    assert tunings(store, limit=9) == []
    store.close()
