"""What decides the order: purpose, age, and what came of showing a record."""

import numpy as np
import pytest

from harness.memory.lookup import Candidate
from harness.memory.ranking import (
    HALF_LIFE_S,
    Evidence,
    Weights,
    diverse,
    purpose_of,
    scored,
)

ANY = purpose_of("search")


def evidence(seq: int, *, words: float = 1.0, near: float = 1.0, **changes: object) -> Evidence:
    vector = np.zeros(8, np.float32)
    vector[seq % 8] = 1.0
    plain = Candidate(seq, ("run", "agent"), "attempt", "", 0.0, vector, 0, 0)
    return Evidence(plain._replace(**changes), words, near, 1.0)  # type: ignore[arg-type]


def order(
    found: list[Evidence], purpose: str = "search", weights: Weights | None = None
) -> list[int]:
    ranked = scored(found, purpose_of(purpose), weights or Weights())
    return [each.candidate.seq for each in ranked]


def test_what_paid_comes_first_unless_credit_is_off() -> None:
    found = [evidence(1, uses=10, wins=0), evidence(2, uses=10, wins=8)]
    assert order(found) == [2, 1]
    assert order(found, weights=Weights(credit=0.0)) == [1, 2]


def test_one_lucky_use_counts_less_than_many() -> None:
    lucky, proven, unknown = (
        evidence(1, uses=1, wins=1),
        evidence(2, uses=20, wins=16),
        evidence(3),
    )
    assert order([lucky, proven, unknown]) == [2, 1, 3]


def test_credit_never_puts_the_unrelated_before_the_related() -> None:
    assert order(
        [evidence(1, words=1.0, near=1.0), evidence(2, words=0.2, near=0.2, uses=99, wins=99)]
    ) == [1, 2]


def test_the_newer_of_equals_comes_first() -> None:
    found = [evidence(1, created_at=0.0), evidence(2, created_at=3 * HALF_LIFE_S)]
    assert order(found) == [2, 1]
    assert order(found, weights=Weights(recency=0.0)) == [1, 2]


def test_a_purpose_prefers_kinds_and_outcomes() -> None:
    attempt, insight = evidence(1), evidence(2, kind="insight")
    assert order([attempt, insight], "draft") == [2, 1]
    improved, failed = evidence(3, outcome="improved"), evidence(4, outcome="failed")
    assert order([improved, failed], "debug") == [4, 3]
    assert order([failed, improved], "improve") == [3, 4]


def test_debug_goes_by_the_words() -> None:
    worded, near = evidence(1, words=1.0, near=0.3), evidence(2, words=0.4, near=1.0)
    assert order([near, worded], "debug") == [1, 2]


def test_diversity_takes_the_different_one_first() -> None:
    same = np.eye(8, dtype=np.float32)[0]
    near = (same + 0.4 * np.eye(8, dtype=np.float32)[1]) / np.sqrt(1.16)
    found = scored(
        [evidence(1, vector=same), evidence(2, vector=near, near=0.9), evidence(3, words=0.8)],
        ANY,
        Weights(),
    )
    assert [each.candidate.seq for each in diverse(found, 2, 0.0)] == [1, 2]
    assert [each.candidate.seq for each in diverse(found, 2, 0.5)] == [1, 3]


@pytest.mark.parametrize("data", [{}, {"lexical": 0.5, "unknown": 3}])
def test_weights_survive_json(data: dict[str, float]) -> None:
    weights = Weights.of(data)
    assert Weights.of(weights.plain()) == weights
    assert weights.lexical == data.get("lexical", Weights().lexical)
