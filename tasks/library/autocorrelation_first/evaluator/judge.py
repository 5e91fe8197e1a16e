"""Scores a step function by the peak of its autoconvolution, exactly."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

MIN_STEPS = 2
MAX_STEPS = 30_000
MAX_BYTES = 1024 * 1024
SMALLEST, LARGEST = 1e-12, 1e6


class InvalidOutputError(ValueError):
    """The output is not a step function with values >= 0."""


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
        if value != 0 and not SMALLEST <= value <= LARGEST:
            raise InvalidOutputError(
                f"value {index} = {str(value)[:24]} is neither 0 nor in [{SMALLEST}, {LARGEST}]"
            )
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


def ratio(values: list[int]) -> tuple[Fraction, int]:
    """max (f * f) / (integral of f)^2 on [-1/4, 1/4], and where the peak is, in steps.

    With n steps of width 1 / (2 n), f * f is linear between multiples of the width, so its maximum
    is at one of them: width * max over k of the sum of v[i] v[k - i].
    """
    if sum(values) == 0:
        raise InvalidOutputError("all values are 0")
    autoconvolution = convolve(values, values)
    peak = max(autoconvolution)
    return Fraction(2 * len(values) * peak, sum(values) ** 2), autoconvolution.index(peak)


def judge(outputs: Path, private: Path, seed: int) -> dict[str, Any]:
    """Ratio of the function in `steps.json`; `private` and `seed` are not used."""
    try:
        values, _ = scaled_integers(load(outputs / "steps.json"))
        exact, index = ratio(values)
    except InvalidOutputError as error:
        return {"score": None, "metrics": {}, "feedback": str(error)}
    score = float(exact)
    peak_at = (index + 1) / (2 * len(values)) - 0.5
    metrics = {"steps": float(len(values)), "peak_at": peak_at}
    feedback = f"valid; ratio {score:.10f}, peak of f * f at t = {peak_at:+.6f}"
    return {"score": score, "metrics": metrics, "feedback": feedback}
