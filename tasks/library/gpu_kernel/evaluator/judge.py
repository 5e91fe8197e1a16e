"""Times `structure_factors` against the baseline; see `harness_timing` for how.

The judge has no GPU: a few values of each call, drawn when all are there, are computed anew in
float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness_timing as timing
import numpy as np

if TYPE_CHECKING:
    from harness.evaluators.inside.serve_judge import Candidate

MIN_SIZE, MAX_SIZE = 100_000, 160_000
CHECKED_WAVES = 32
ROUNDINGS = 16.0
"""Allowance in units of float32's precision, relative to the sum of absolute weights."""
FLOPS_PER_PAIR = 12
"""A product of three terms (6), two additions with a factor (4), one each for sine and cosine."""
PEAK_FLOPS = 2e14
"""In float32 without tensor cores: twice what any GPU had when this was written."""

Size = tuple[int, int]
"""Numbers of points and waves."""


def judge(candidate: Candidate, private: Path, seed: int) -> dict[str, Any]:
    return timing.compare(
        candidate,
        timing.Kernel("structure_factors", draw, make, check, floor_s, sizes=2, max_rounds=20),
    )


def draw(rng: np.random.Generator) -> Size:
    points, waves = rng.integers(MIN_SIZE, MAX_SIZE + 1, size=2).tolist()
    return points, waves


def make(rng: np.random.Generator, size: Size) -> Sequence[Any]:
    """Points in a box of random size, weights of both signs, phases up to some hundred radians."""
    extent = 10.0 ** rng.uniform(-2, 2)
    points = rng.uniform(-1, 1, (size[0], 3)) * extent
    weights = rng.normal(size=size[0]) * 10.0 ** rng.uniform(-2, 2)
    waves = rng.uniform(-1, 1, (size[1], 3)) * rng.uniform(50, 200) / extent
    return [each.astype(np.float32) for each in (points, weights, waves)]


def check(rng: np.random.Generator, arguments: Sequence[Any], value: Any) -> str:
    """Compare some values with sums in float64."""
    points, weights, waves = (each.astype(np.float64) for each in arguments)
    problem = timing.array_problem(value, "float32", (len(waves), 2))
    if problem:
        return problem
    chosen = rng.permutation(len(waves))[:CHECKED_WAVES]
    phases = waves[chosen] @ points.T
    exact = np.stack([np.cos(phases) @ weights, np.sin(phases) @ weights], axis=1)
    scale = np.abs(weights).sum()
    return timing.close_problem(value[chosen], exact, scale, roundings=ROUNDINGS)


def floor_s(size: Size) -> float:
    return size[0] * size[1] * FLOPS_PER_PAIR / PEAK_FLOPS
