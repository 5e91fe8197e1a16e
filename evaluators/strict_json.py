"""JSON from code we did not write: bounded, and exactly what the standard allows."""

import json
import math
import re
import sys
from typing import Any, NoReturn, TypeAlias

MAX_INT_DIGITS = 400
"""A longer integer is beyond every float without looking at it."""
MAX_FLOAT = int(sys.float_info.max)
MAX_ELEMENTS = 100_000
"""Values, those in lists and mappings included: what a document takes up when it is read."""

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""To the end of the data where one does not end, so that nothing is looked at twice."""
_NO_BRACKET = re.compile(rb"[^\[\]{}]+")

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


class StrictJsonError(ValueError):
    """Not one JSON document within the bounds; the message says what is wrong."""


def parse(
    data: bytes,
    *,
    max_bytes: int = 1024 * 1024,
    max_depth: int = 8,
    max_elements: int = MAX_ELEMENTS,
) -> Json:
    """The one JSON document that `data` is.

    Numbers too large for a float, integers too, become infinities; the caller refuses those where
    they matter.

    Raises:
        StrictJsonError: More than `max_bytes`, not UTF-8, not JSON (`NaN` and `Infinity` are not),
            more than one document, a key twice, nested deeper than `max_depth`, more than
            `max_elements` values. All three bounds hold before anything is read.
    """
    if len(data) > max_bytes:
        raise StrictJsonError(f"{len(data)} bytes, at most {max_bytes} are read")
    _check_shape(data, max_depth, max_elements)
    try:
        value: Json = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise StrictJsonError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise StrictJsonError(f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise StrictJsonError("nested too deeply") from None
    return value


def _check_shape(data: bytes, max_depth: int, max_elements: int) -> None:
    """Count what stands outside of strings; up to its first error, a document is read alike."""
    bare = _STRINGS.sub(b"0", data).translate(None, b" \t\r\n")
    # One value stands before each comma, and one more in each list or mapping that is not empty.
    filled = sum(bare.count(each) for each in (b"[", b"{")) - bare.count(b"[]") - bare.count(b"{}")
    if 1 + bare.count(b",") + filled > max_elements:
        raise StrictJsonError(f"more than {max_elements} elements")
    depth = 0
    for bracket in _NO_BRACKET.sub(b"", bare):
        depth += 1 if bracket in b"[{" else -1
        if depth > max_depth:
            raise StrictJsonError(f"nested deeper than {max_depth}")


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not JSON")


def _integer(text: str) -> float:
    if len(text) <= MAX_INT_DIGITS:
        value = int(text)
        if abs(value) <= MAX_FLOAT:
            return value
    return -math.inf if text.startswith("-") else math.inf


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise StrictJsonError(f"key {twice[:80]!r} is there twice")
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_integer, object_pairs_hook=_unique
)
