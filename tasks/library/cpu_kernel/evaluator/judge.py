"""Times `gauss_sums` against the baseline; see `harness_timing` for how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness_timing as timing
import numpy as np

if TYPE_CHECKING:
    from harness.evaluators.inside.serve_judge import Candidate

MIN_POINTS, MAX_POINTS = 900, 1500
CHECKED_ROWS = 200
"""Of each value; drawn after it is there."""
ROUNDINGS = 64.0
"""Allowance in units of float32's precision, relative to the sum of absolute terms."""
FLOPS_PER_PAIR = 8
"""Three differences, their squares summed, scaled, and at the very least two for the exponential
and its weight; each pair is needed once, since it is symmetric."""
PEAK_FLOPS = 4e11
"""Of one core: two units of sixteen multiply-adds in float32 at more than 6 GHz."""


def judge(candidate: Candidate, private: Path, seed: int) -> dict[str, Any]:
    return timing.compare(
        candidate,
        timing.Kernel("gauss_sums", draw, make, check, floor_s),
    )


def draw(rng: np.random.Generator) -> int:
    return int(rng.integers(MIN_POINTS, MAX_POINTS + 1))


def make(rng: np.random.Generator, size: int) -> Sequence[Any]:
    """Points in a box of random place and size, weights of both signs, a width to match."""
    extent = 10.0 ** rng.uniform(-2, 2)
    points = (rng.uniform(-0.5, 0.5, (size, 3)) + rng.uniform(-1, 1, 3)) * extent
    weights = rng.normal(size=size) * 10.0 ** rng.uniform(-2, 2)
    width = extent * rng.uniform(0.1, 0.4)
    return points.astype(np.float32), weights.astype(np.float32), width


def check(rng: np.random.Generator, arguments: Sequence[Any], value: Any) -> str:
    """Compare rows with sums in float64."""
    points, weights, width = arguments
    problem = timing.array_problem(value, "float32", (len(points),))
    if problem:
        return problem
    rows = rng.permutation(len(points))[:CHECKED_ROWS]
    exact_points, exact_weights = points.astype(np.float64), weights.astype(np.float64)
    squares = np.zeros((len(rows), len(points)))
    for axis in range(3):
        squares += np.subtract.outer(exact_points[rows, axis], exact_points[:, axis]) ** 2
    terms = np.exp(squares * (-0.5 / width**2))
    return timing.close_problem(
        value[rows], terms @ exact_weights, terms @ np.abs(exact_weights), roundings=ROUNDINGS
    )


def floor_s(size: int) -> float:
    return size * (size - 1) / 2 * FLOPS_PER_PAIR / PEAK_FLOPS
