"""The judge of circle_packing: exact, with tolerance 0."""

import functools
import itertools
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.tasks.library.circle_packing.evaluator.judge import judge

Table = list[list[float]]
FILE = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def verdict(folder: Path, document: Any) -> dict[str, Any]:
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "circles.json").write_text(text, encoding="utf-8")
    return judge(folder, folder, 0)


def largest_radius(table: Table, index: int) -> float:
    """The radius at which circle `index` touches a side or another circle, up to rounding."""
    x, y, _ = table[index]
    others = (math.hypot(x - a, y - b) - r for k, (a, b, r) in enumerate(table) if k != index)
    return min(x, 1 - x, y, 1 - y, *others)


def penalty_search(seed: int, steps: int = 2_500) -> npt.NDArray[np.float64]:
    """Centres and radii (26 x 3) by Adam on the sum of radii with a growing overlap penalty."""
    rng = np.random.default_rng(seed)
    v = np.column_stack([rng.uniform(0.1, 0.9, (26, 2)), np.full(26, 0.08)])
    first, second = np.zeros_like(v), np.zeros_like(v)
    for step in range(1, steps + 1):
        weight = 10 * 100 ** (step / steps)
        delta = v[:, None, :2] - v[None, :, :2]
        distance = np.sqrt((delta**2).sum(-1)) + np.eye(26)
        overlap = np.maximum(v[:, None, 2] + v[None, :, 2] - distance, 0) * (1 - np.eye(26))
        low, high = np.maximum(v[:, 2:] - v[:, :2], 0), np.maximum(v[:, :2] + v[:, 2:] - 1, 0)
        centre = -(overlap / distance)[:, :, None] * delta
        g = np.empty_like(v)
        g[:, :2] = 2 * weight * (centre.sum(1) + high - low)
        g[:, 2] = -1 + 2 * weight * (overlap.sum(1) + (low + high).sum(1))
        first, second = 0.9 * first + 0.1 * g, 0.99 * second + 0.01 * g * g
        v -= (
            0.02
            * (1 - step / steps)
            * (first / (1 - 0.9**step))
            / (np.sqrt(second / (1 - 0.99**step)) + 1e-9)
        )
    return v


@functools.cache
def optimised() -> Table:
    """A packing in which each circle touches something to within 1e-12 and which is valid."""
    v = penalty_search(seed=3)
    v[:, :2] = v[:, :2].clip(0.01, 0.99)
    while True:
        table: Table = v.tolist()
        if all(table[index][2] < largest_radius(table, index) for index in range(26)):
            break
        v[:, 2] *= 0.999
    for index in range(26):
        table[index][2] = largest_radius(table, index) - 1e-14
    return table


def test_an_optimised_construction_is_accepted(tmp_path: Path) -> None:
    answer = verdict(tmp_path, optimised())
    assert answer["score"] == pytest.approx(math.fsum(r for _, _, r in optimised()), abs=1e-15)
    assert 2.5 < answer["score"] <= 2.6359830853


def test_a_touching_radius_grown_by_a_billionth_is_refused(tmp_path: Path) -> None:
    for index in range(26):
        grown = [list(entry) for entry in optimised()]
        grown[index][2] += 1e-9
        answer = verdict(tmp_path, grown)
        assert answer["score"] is None, f"circle {index} grown"
        assert str(index) in answer["feedback"]


def test_circles_may_touch_exactly(tmp_path: Path) -> None:
    corners = [[0.25, 0.25, 0.25], [0.75, 0.25, 0.25], [0.25, 0.75, 0.25], [0.75, 0.75, 0.25]]
    small = [[0.5, 0.4 + 0.2 * k / 22, 2**-9] for k in range(22)]
    assert verdict(tmp_path, corners + small)["score"] == 1 + 22 * 2**-9
    corners[0][2] = math.nextafter(0.25, 1)
    assert "leaves the square" in verdict(tmp_path, corners + small)["feedback"]


def grid(rng: random.Random) -> Table:
    """A valid packing: one circle anywhere inside each of 26 cells of a 6 x 6 grid."""
    cells = rng.sample(list(itertools.product(range(6), range(6))), 26)
    table: Table = []
    for column, row in cells:
        r = rng.uniform(0.001, 1 / 12 - 1e-6)
        x, y = (rng.uniform(k / 6 + r + 1e-9, (k + 1) / 6 - r - 1e-9) for k in (column, row))
        table.append([x, y, r])
    return table


@FILE
@given(st.builds(random.Random, st.integers(0, 2**32)))
def test_disjoint_circles_are_accepted_in_any_order_and_orientation(
    tmp_path: Path, rng: random.Random
) -> None:
    table = grid(rng)
    score = verdict(tmp_path, table)["score"]
    assert score == pytest.approx(math.fsum(r for _, _, r in table), abs=1e-14)
    rng.shuffle(table)
    assert verdict(tmp_path, [[y, x, r] for x, y, r in table])["score"] == score


@FILE
@given(st.builds(random.Random, st.integers(0, 2**32)), st.integers(0, 25), st.integers(0, 2))
def test_a_coordinate_moved_into_a_wall_or_a_neighbour_is_refused(
    tmp_path: Path, rng: random.Random, index: int, column: int
) -> None:
    table = grid(rng)
    if column == 2:
        table[index][2] = largest_radius(table, index) * (1 + 1e-12) + 1e-12
    else:
        table[index][column] = rng.choice([0.0, 1.0, table[index][2] / 2, 1 - table[index][2] / 2])
    assert verdict(tmp_path, table)["score"] is None


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("[0.5, 0.5, NaN]", "NaN"),
        ("[0.5, 0.5, -Infinity]", "Infinity"),
        ("[0.5, 0.5, 1e999]", "outside"),
        ("[0.5, 0.5, true]", "must be a number"),
        ('[0.5, 0.5, "0.01"]', "must be a number"),
        ("[0.5, 0.5, null]", "must be a number"),
        ("[0.5, 0.5, [0.01]]", "must be a number"),
        ("[0.5, 0.5, 0]", "above 0"),
        ("[0.5, 0.5, -0.01]", "outside"),
        (f"[0.5, 0.5, {'9' * 400}]", "outside"),
        (f"[0.5, 0.5, {'9' * 5000}]", "strict JSON"),
        ("[0.5, 0.5]", "[x, y, r]"),
        ("[0.5, 0.5, 0.01, 0.0]", "[x, y, r]"),
        ('{"x": 0.5}', "[x, y, r]"),
        ("[0.5, 0.5, 0.01", "strict JSON"),
    ],
)
def test_an_entry_that_is_not_three_plain_numbers_is_refused(
    tmp_path: Path, entry: str, says: str
) -> None:
    rest = json.dumps(grid(random.Random(1))[:25])
    answer = verdict(tmp_path, rest[:-1] + ", " + entry + "]")
    assert answer["score"] is None
    assert says in answer["feedback"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "2.7", "null", "[" * 60_000, " " * 70_000, '{"score": 99}', "[[0.5,0.5,0.1]]"],
)
def test_a_document_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    answer = verdict(tmp_path, text)
    assert answer["score"] is None
    assert answer["feedback"]


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    assert "not written as a regular file" in judge(tmp_path, tmp_path, 0)["feedback"]
    (tmp_path / "circles.json").write_bytes(b"\xff\xfe[]")
    assert judge(tmp_path, tmp_path, 0)["score"] is None
