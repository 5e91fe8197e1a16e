"""Scores a step function by its largest overlap (Erdős), exactly."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

MIN_STEPS = 2
MAX_STEPS = 2_000
MAX_BYTES = 128 * 1024


class InvalidOutputError(ValueError):
    """The output is not a step function with values in [0, 1]."""


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


def scaled_integers(document: Any) -> tuple[list[int], int]:
    """The values as exact integers over one common denominator, a power of two."""
    values: list[Any] = document
    if type(document) is not list:
        raise InvalidOutputError("the output must be a list of numbers")
    if not MIN_STEPS <= len(values) <= MAX_STEPS:
        raise InvalidOutputError(
            f"the output has {len(values)} values, expected {MIN_STEPS} to {MAX_STEPS}"
        )
    ratios: list[tuple[int, int]] = []
    for index, value in enumerate(values):
        if type(value) not in (int, float):
            raise InvalidOutputError(f"value {index} must be a number, not {type(value).__name__}")
        if not 0 <= value <= 1:
            raise InvalidOutputError(f"value {index} = {str(value)[:24]} is outside [0, 1]")
        ratios.append(value.as_integer_ratio())
    common = max(denominator for _, denominator in ratios)
    return [numerator * (common // denominator) for numerator, denominator in ratios], common


def convolve(a: list[int], b: list[int]) -> list[int]:
    """Coefficients of the product of two polynomials with coefficients >= 0, exactly.

    Both are packed into one integer each, with slots wide enough that no sum overflows its own
    (Kronecker substitution), so that one product of large integers does the work.
    """
    bits = max(a).bit_length() + max(b).bit_length() + len(a).bit_length()
    width = (bits + 7) // 8
    packed = (
        int.from_bytes(b"".join(v.to_bytes(width, "little") for v in values), "little")
        for values in (a, b)
    )
    length = len(a) + len(b) - 1
    product = (next(packed) * next(packed)).to_bytes(width * (length + 1), "little")
    return [int.from_bytes(product[k * width : (k + 1) * width], "little") for k in range(length)]


def largest_overlap(values: list[int], one: int) -> tuple[Fraction, int]:
    """The maximum over all shifts x of the integral of h(t) (1 - h(t + x)), and its shift in steps.

    `values` over `one` are the steps on [0, 2] before the integral is brought to 1. The overlap is
    linear in x between multiples of the step, so its maximum is at one of them. h and 1 - h have
    the same maximum (at opposite shifts), so the one whose integral is at least 1 is scaled down.
    """
    n = len(values)
    if 2 * sum(values) < n * one:
        values = [one - value for value in values]
    total = 2 * sum(values)
    # h = n * value / total and 1 - h, both times `total`; a step is 2 / n wide. As total is at
    # least n * one, h stays below 1.
    h = [n * value for value in values]
    rest = [total - value for value in h]
    overlaps = convolve(h, rest[::-1])
    largest = max(overlaps)
    return Fraction(2 * largest, n * total * total), overlaps.index(largest) - (n - 1)


def judge(outputs: Path, private: Path, seed: int) -> dict[str, Any]:
    """Largest overlap of `steps.json`; `private` and `seed` are not used."""
    try:
        values, one = scaled_integers(load(outputs / "steps.json"))
    except InvalidOutputError as error:
        return {"score": None, "metrics": {}, "feedback": str(error)}
    overlap, shift = largest_overlap(values, one)
    score = float(overlap)
    metrics = {
        "steps": float(len(values)),
        "integral_as_written": float(Fraction(2 * sum(values), len(values) * one)),
    }
    feedback = f"valid; largest overlap {score:.10f} at a shift of {abs(shift)} steps"
    return {"score": score, "metrics": metrics, "feedback": feedback}
