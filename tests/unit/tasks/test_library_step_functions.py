"""The judges of the two step-function tasks: exact maxima, tolerance 0."""

import json
import math
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.tasks.library.autocorrelation_first.evaluator.judge import judge as autocorrelation
from harness.tasks.library.erdos_min_overlap.evaluator.judge import judge as min_overlap

Judge = Callable[[Path, Path, int], dict[str, Any]]
FILE = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
UNIT = st.floats(0, 1, allow_subnormal=True)
SIZED = st.one_of(st.just(0.0), st.floats(1e-12, 1e6))


def verdict(judge: Judge, folder: Path, document: Any) -> dict[str, Any]:
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "steps.json").write_text(text, encoding="utf-8")
    return judge(folder, folder, 0)


def exact_overlap(values: list[float]) -> Fraction:
    """The definition, without a shortcut: rational numbers and two loops."""
    n = len(values)
    h = [Fraction(value) for value in values]
    if 2 * sum(h) < n:
        h = [1 - value for value in h]
    total = sum(h, Fraction(0))
    h = [value * n / (2 * total) for value in h]
    assert sum(h) * 2 == n
    assert all(0 <= value <= 1 for value in h)
    overlaps = (
        sum((h[i] * (1 - h[i + k]) for i in range(max(0, -k), min(n, n - k))), Fraction(0))
        for k in range(1 - n, n)
    )
    return max(Fraction(2, n) * overlap for overlap in overlaps)


def exact_ratio(values: list[float]) -> Fraction:
    """The definition, without a shortcut."""
    n = len(values)
    f = [Fraction(value) for value in values]
    peak = max(
        sum((f[i] * f[k - i] for i in range(max(0, k - n + 1), min(k, n - 1) + 1)), Fraction(0))
        for k in range(2 * n - 1)
    )
    integral = sum(f, Fraction(0)) / (2 * n)
    return peak / (2 * n) / (integral * integral)


@FILE
@given(st.lists(UNIT, min_size=2, max_size=12))
def test_the_overlap_is_that_of_the_definition(tmp_path: Path, values: list[float]) -> None:
    assert verdict(min_overlap, tmp_path, values)["score"] == float(exact_overlap(values))


@FILE
@given(st.lists(SIZED, min_size=2, max_size=12).filter(any))
def test_the_ratio_is_that_of_the_definition(tmp_path: Path, values: list[float]) -> None:
    assert verdict(autocorrelation, tmp_path, values)["score"] == float(exact_ratio(values))


@FILE
@given(st.lists(st.integers(0, 64).map(lambda k: k / 64), min_size=2, max_size=40))
def test_the_overlap_is_the_same_for_the_mirror_image_and_the_complement(
    tmp_path: Path, values: list[float]
) -> None:
    score = verdict(min_overlap, tmp_path, values)["score"]
    assert verdict(min_overlap, tmp_path, values[::-1])["score"] == score
    assert verdict(min_overlap, tmp_path, [1 - value for value in values])["score"] == score


@FILE
@given(st.lists(SIZED, min_size=2, max_size=40).filter(any), st.integers(2, 3))
def test_finer_steps_of_the_same_function_score_the_same(
    tmp_path: Path, values: list[float], times: int
) -> None:
    finer = [value for value in values for _ in range(times)]
    score = verdict(autocorrelation, tmp_path, values)["score"]
    assert verdict(autocorrelation, tmp_path, finer)["score"] == score
    bounded = [min(value, 1.0) for value in values]
    finer = [min(value, 1.0) for value in finer]
    score = verdict(min_overlap, tmp_path, bounded)["score"]
    assert verdict(min_overlap, tmp_path, finer)["score"] == score


def test_values_known_from_the_definitions(tmp_path: Path) -> None:
    for n in (2, 7, 2_000):
        assert verdict(min_overlap, tmp_path, [0.5] * n)["score"] == 0.5
        assert verdict(autocorrelation, tmp_path, [3] * n)["score"] == 2.0
    # h = 1 on the middle half: at a shift of half a unit or more, half of it meets 1 - h = 1.
    assert verdict(min_overlap, tmp_path, [0, 1, 1, 0])["score"] == 0.5
    # The conjecture of Schinzel and Schmidt was pi / 2, from above as the steps get finer.
    ratios = [
        verdict(autocorrelation, tmp_path, [1 / math.sqrt(k + 0.5) for k in range(n)])["score"]
        for n in (100, 400, 1_600)
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert math.pi / 2 < ratios[-1] < 1.58


def test_many_steps_agree_with_floating_point(tmp_path: Path) -> None:
    rng = random.Random(3)
    values = [rng.random() for _ in range(2_000)]
    f = np.array(values)
    ratio = float(np.convolve(f, f).max() * 2 * len(f) / f.sum() ** 2)
    assert verdict(autocorrelation, tmp_path, values)["score"] == pytest.approx(ratio, rel=1e-12)
    h = f if 2 * f.sum() >= len(f) else 1 - f
    h = h * len(h) / (2 * h.sum())
    overlap = float(np.correlate(h, 1 - h, "full").max() * 2 / len(h))
    assert verdict(min_overlap, tmp_path, values)["score"] == pytest.approx(overlap, rel=1e-12)


@pytest.mark.parametrize("judge", [min_overlap, autocorrelation])
@pytest.mark.parametrize(
    "entry",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "true",
        '"0.5"',
        "null",
        "[0.5]",
        "{}",
        "-0.1",
        "-5e-324",
        "9" * 400,
        "9" * 5000,
        "0.5 0.5",
    ],
)
def test_a_value_that_is_not_a_number_in_range_is_refused(
    tmp_path: Path, judge: Judge, entry: str
) -> None:
    answer = verdict(judge, tmp_path, f"[0.5, 0.25, {entry}, 0.5]")
    assert answer["score"] is None
    assert answer["feedback"]


@pytest.mark.parametrize("judge", [min_overlap, autocorrelation])
@pytest.mark.parametrize("text", ["", "[]", "[0.5]", "0.5", '{"steps": [0.5, 0.5]}', "[" * 90_000])
def test_another_document_is_refused(tmp_path: Path, judge: Judge, text: str) -> None:
    assert verdict(judge, tmp_path, text)["score"] is None


def test_the_limits_of_each_task(tmp_path: Path) -> None:
    assert "expected 2 to 2000" in verdict(min_overlap, tmp_path, [0.5] * 2_001)["feedback"]
    above = verdict(min_overlap, tmp_path, [0.0, math.nextafter(1, 2)])
    assert above["score"] is None
    assert "value 1 " in above["feedback"]
    assert "expected 2 to 30000" in verdict(autocorrelation, tmp_path, [1] * 30_001)["feedback"]
    for value in (1e-13, 1.1e6):
        assert "neither 0" in verdict(autocorrelation, tmp_path, [1, value])["feedback"]
    assert "all values are 0" in verdict(autocorrelation, tmp_path, [0, 0])["feedback"]
    assert "larger than" in verdict(autocorrelation, tmp_path, "[0.1" + " " * 2**20)["feedback"]
