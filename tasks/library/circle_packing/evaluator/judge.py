"""Scores a packing of circles in the unit square in exact rational arithmetic, tolerance 0."""

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

CIRCLES = 26
MAX_BYTES = 64 * 1024


class InvalidOutputError(ValueError):
    """The output is not a valid packing."""


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


Circle = tuple[Fraction, Fraction, Fraction]


def listed(value: Any, length: int, complaint: str) -> list[Any]:
    """`value`, which must be a JSON list of `length` entries."""
    entries: list[Any] = value if type(value) is list else []
    if len(entries) != length:
        raise InvalidOutputError(complaint)
    return entries


def parse(document: Any) -> list[Circle]:
    """The circles (x, y, r)."""
    circles: list[Circle] = []
    entries = listed(document, CIRCLES, f"the output must be a list of {CIRCLES} circles")
    for index, entry in enumerate(entries):
        values = listed(entry, 3, f"circle {index} must be a list [x, y, r]")
        x, y, r = (number(values[k], f"circle {index}, {key}") for k, key in enumerate("xyr"))
        if r <= 0:
            raise InvalidOutputError(f"circle {index} must have a radius above 0")
        circles.append((x, y, r))
    return circles


def wall_gap(circle: Circle) -> Fraction:
    """Distance between a circle and the nearest side; negative when it crosses it."""
    x, y, r = circle
    return min(x, 1 - x, y, 1 - y) - r


def clearance(a: Circle, b: Circle) -> Fraction:
    """Squared distance of the centres minus the squared sum of the radii; negative on overlap."""
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 - (a[2] + b[2]) ** 2


def check(circles: list[Circle]) -> None:
    """Refuses the first circle that leaves the square or overlaps another."""
    for index, circle in enumerate(circles):
        gap = wall_gap(circle)
        if gap < 0:
            raise InvalidOutputError(f"circle {index} leaves the square by {float(-gap):.3e}")
    for i, a in enumerate(circles):
        for j, b in enumerate(circles[:i]):
            if clearance(a, b) < 0:
                distance = math.hypot(float(a[0] - b[0]), float(a[1] - b[1]))
                depth = max(float(a[2] + b[2]) - distance, 0.0)
                raise InvalidOutputError(f"circles {j} and {i} overlap by about {depth:.3e}")


def judge(outputs: Path, private: Path, seed: int) -> dict[str, Any]:
    """Sum of the radii of `circles.json`; `private` and `seed` are not used."""
    try:
        circles = parse(load(outputs / "circles.json"))
        check(circles)
    except InvalidOutputError as refusal:
        return {"score": None, "metrics": {}, "feedback": str(refusal)}
    radii = [r for _, _, r in circles]
    metrics = {
        "smallest_radius": float(min(radii)),
        "largest_radius": float(max(radii)),
        "covered_area": math.pi * float(sum(r * r for r in radii)),
    }
    score = float(sum(radii))
    return {"score": score, "metrics": metrics, "feedback": f"valid; sum of radii {score:.10f}"}
