"""Scores points in a triangle by their smallest triangle, exactly."""

import json
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any, NoReturn

POINTS = 11
MAX_BYTES = 64 * 1024


class InvalidOutputError(ValueError):
    """The output is not a set of points of the triangle."""


def _constant(name: str) -> NoReturn:
    raise InvalidOutputError(f"{name} is not a number")


def load(path: Path) -> Any:
    """The JSON document in `path`, which must be small and strict."""
    if path.is_symlink() or not path.is_file():
        raise InvalidOutputError(f"{path.name} was not written as a regular file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InvalidOutputError(f"{path.name} is larger than {MAX_BYTES} bytes")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidOutputError(f"{path.name} is not strict JSON: {error}") from None


def number(value: Any, where: str) -> Fraction:
    """The exact value of a JSON number of the unit interval; `True` is not a number."""
    if type(value) not in (int, float):
        raise InvalidOutputError(f"{where} must be a number, not {type(value).__name__}")
    if not 0 <= value <= 1:
        raise InvalidOutputError(f"{where} = {str(value)[:24]} is outside [0, 1]")
    return Fraction(value)


def listed(value: Any, length: int, complaint: str) -> list[Any]:
    """`value`, which must be a JSON list of `length` entries."""
    entries: list[Any] = value
    if type(value) is not list or len(entries) != length:
        raise InvalidOutputError(complaint)
    return entries


Point = tuple[Fraction, Fraction]


def parse(document: Any) -> list[Point]:
    """The points (x, y), all inside the triangle or on its border."""
    points: list[Point] = []
    entries = listed(document, POINTS, f"the output must be a list of {POINTS} points")
    for index, entry in enumerate(entries):
        values = listed(entry, 2, f"point {index} must be a list [x, y]")
        x, y = (number(values[k], f"point {index}, {key}") for k, key in enumerate("xy"))
        if x + y > 1:
            beyond = float(x + y - 1)
            raise InvalidOutputError(f"point {index} leaves the triangle: x + y = 1 + {beyond:.3e}")
        points.append((x, y))
    return points


def normalised_area(a: Point, b: Point, c: Point) -> Fraction:
    """Area of the triangle a, b, c over the area of the container (1/2): the determinant."""
    return abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def sorted_areas(points: list[Point]) -> list[tuple[Fraction, tuple[int, int, int]]]:
    """Normalised areas of all triangles with the indices of their corners, smallest first."""
    areas = sorted(
        (normalised_area(points[i], points[j], points[k]), (i, j, k))
        for i, j, k in combinations(range(len(points)), 3)
    )
    if areas[0][0] == 0:
        raise InvalidOutputError(f"points {areas[0][1]} lie on one line")
    return areas


def judge(outputs: Path, private: Path, seed: int) -> dict[str, Any]:
    """Smallest normalised triangle of `points.json`; `private` and `seed` are not used."""
    try:
        points = parse(load(outputs / "points.json"))
        areas = sorted_areas(points)
    except InvalidOutputError as error:
        return {"score": None, "metrics": {}, "feedback": str(error)}
    smallest, triple = areas[0]
    score = float(smallest)
    metrics = {
        "second_smallest": float(areas[1][0]),
        "triangles_within_1_percent": float(sum(area <= smallest * 101 / 100 for area, _ in areas)),
    }
    feedback = f"valid; smallest triangle {score:.10f} is that of points {triple}"
    return {"score": score, "metrics": metrics, "feedback": feedback}
