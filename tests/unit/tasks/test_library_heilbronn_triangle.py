"""The judge of heilbronn_triangle: exact areas and containment, tolerance 0."""

import itertools
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.tasks.library.heilbronn_triangle.evaluator.judge import judge

Table = list[list[float]]
FILE = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
GRID = 2**20


def verdict(folder: Path, document: Any) -> dict[str, Any]:
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "points.json").write_text(text, encoding="utf-8")
    return judge(folder, folder, 0)


def scattered(rng: random.Random) -> Table:
    """Points of the triangle on a dyadic grid, where float arithmetic is exact."""
    points: Table = []
    while len(points) < 11:
        x, y = rng.randrange(GRID), rng.randrange(GRID)
        if x + y <= GRID:
            points.append([x / GRID, y / GRID])
    return points


def smallest(points: Table) -> float:
    return min(
        abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
        for a, b, c in itertools.combinations(points, 3)
    )


@FILE
@given(st.builds(random.Random, st.integers(0, 2**32)))
def test_the_score_is_the_smallest_area_in_any_order_and_after_any_symmetry(
    tmp_path: Path, rng: random.Random
) -> None:
    points = scattered(rng)
    score = verdict(tmp_path, points)["score"]
    assert score == smallest(points)
    rng.shuffle(points)
    # An affine map that permutes the corners of the container: (x, y) -> (y, 1 - x - y).
    assert verdict(tmp_path, [[y, 1 - x - y] for x, y in points])["score"] == score


@FILE
@given(st.builds(random.Random, st.integers(0, 2**32)), st.integers(0, 10), st.integers(0, 3))
def test_a_point_moved_out_by_one_unit_in_the_last_place_is_refused(
    tmp_path: Path, rng: random.Random, index: int, side: int
) -> None:
    points = scattered(rng)
    x = points[index][0]
    on_border = [x, 1 - x]
    outside = [
        [x, math.nextafter(1 - x, 2)],
        [-5e-324, points[index][1]],
        [x, -5e-324],
        [math.nextafter(1, 2), 0.0],
    ][side]
    points[index] = outside
    answer = verdict(tmp_path, points)
    assert answer["score"] is None
    assert f"point {index}" in answer["feedback"]
    points[index] = on_border
    assert verdict(tmp_path, points)["score"] == smallest(points)


def test_points_on_one_line_are_refused(tmp_path: Path) -> None:
    points = scattered(random.Random(5))
    points[4] = [(points[1][k] + points[2][k]) / 2 for k in (0, 1)]
    answer = verdict(tmp_path, points)
    assert answer["score"] is None
    assert "(1, 2, 4)" in answer["feedback"]


def test_a_repeated_point_is_refused(tmp_path: Path) -> None:
    points = scattered(random.Random(6))
    points[10] = points[0]
    assert verdict(tmp_path, points)["score"] is None


@pytest.mark.parametrize(
    "entry",
    [
        "[NaN, 0.1]",
        "[0.1, Infinity]",
        "[0.1, 1e999]",
        "[true, 0.1]",
        '["0.1", 0.1]',
        "[0.1, {}]",
        "[0.1]",
        "[0.1, 0.1, 0.1]",
        "0.1",
        "null",
        f"[{'9' * 400}, 0]",
        f"[0.{'1' * 70_000}, 0]",
    ],
)
def test_an_entry_that_is_not_two_plain_numbers_is_refused(tmp_path: Path, entry: str) -> None:
    rest = json.dumps(scattered(random.Random(1))[:10])
    answer = verdict(tmp_path, rest[:-1] + ", " + entry + "]")
    assert answer["score"] is None
    assert answer["feedback"]
