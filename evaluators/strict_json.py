"""JSON from code we did not write: bounded, and exactly what the standard allows."""

import json
import math
import sys
from collections.abc import Iterable
from typing import Any, NoReturn, TypeAlias

MAX_INT_DIGITS = 400
"""A longer integer is beyond every float without looking at it."""
MAX_ELEMENTS = 200_000
MAX_FLOAT = int(sys.float_info.max)

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
            more than one document, a key twice, nested deeper than `max_depth`, or perhaps more
            than `max_elements` values: commas and brackets in texts count as well.
    """
    if len(data) > max_bytes:
        raise StrictJsonError(f"{len(data)} bytes, at most {max_bytes} are read")
    # Before anything is built: each value but the first follows one of these.
    if sum(map(data.count, (b",", b"[", b"{"))) >= max_elements:
        raise StrictJsonError(f"more than {max_elements} values")
    try:
        value: Json = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise StrictJsonError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise StrictJsonError(f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise StrictJsonError("nested too deeply") from None
    if _depth_exceeds(value, max_depth):
        raise StrictJsonError(f"nested deeper than {max_depth}")
    return value


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


def _depth_exceeds(value: Json, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for each in level for child in _children(each)]
    return any(isinstance(each, dict | list) for each in level)


def _children(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_integer, object_pairs_hook=_unique
)
