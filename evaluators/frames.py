"""Messages of `inside/harness_serve.py` from code we did not write: bounded and strictly typed.

The harness builds no array: it checks that the forms fit the bytes, and hands both on.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.evaluators.inside.harness_serve import DTYPES, HEADER
from harness.evaluators.strict_json import Json, StrictJsonError, parse
from harness.sandbox.base import MIB, CommandStream

MAX_JSON_BYTES = MIB
MAX_DEPTH = 16
MAX_ELEMENTS = 200_000
MAX_DIMENSIONS = 16
MAX_INTEGER = 2**63
PIECE = 1 << 18
BYTES, ARRAY = "__bytes__", "__array__"


class FrameError(Exception):
    """Not a message within the bounds; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A message: its JSON object, and the bytes of its arrays in the order of their forms."""

    document: dict[str, Json]
    data: bytes = b""

    def encoded(self) -> bytes:
        text = json.dumps(self.document, allow_nan=False, separators=(",", ":")).encode()
        return HEADER.pack(len(text), len(self.data)) + text + self.data


class FrameReader:
    """Reads messages from a command, at most `max_data_bytes` of data in each."""

    def __init__(self, stream: CommandStream, max_data_bytes: int) -> None:
        self._stream = stream
        self._max_data_bytes = max_data_bytes
        self._buffer = bytearray()

    @property
    def early(self) -> int:
        """Bytes that came behind the last message."""
        return len(self._buffer)

    async def read(self) -> Frame | None:
        """The next message; None at the end of the stream.

        Raises:
            FrameError: It breaks the protocol. The stream is of no more use.
        """
        header = await self._take(HEADER.size)
        if header is None:
            return None
        size, length = HEADER.unpack(header)
        if size > MAX_JSON_BYTES:
            raise FrameError(f"{size} bytes of JSON, at most {MAX_JSON_BYTES} are read")
        if length > self._max_data_bytes:
            raise FrameError(f"{length} bytes of data, at most {self._max_data_bytes} are read")
        text, data = await self._take(size), await self._take(length)
        if text is None or data is None:
            return None
        return Frame(_document(text, length), data)

    async def _take(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            piece = await self._stream.read(PIECE)
            if not piece:
                return None
            self._buffer += piece
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def sizes(value: Json) -> Iterator[int]:
    """Bytes of each form in a value, in their order.

    Raises:
        FrameError: What no message may hold.
    """
    for number, each in enumerate(_elements(value), start=1):
        if number > MAX_ELEMENTS:
            raise FrameError(f"more than {MAX_ELEMENTS} elements")
        if type(each) is float and not math.isfinite(each):
            raise FrameError("a number that is too large")
        if type(each) is int and not -MAX_INTEGER <= each < MAX_INTEGER:
            raise FrameError("an integer of more than 64 bits")
        if isinstance(each, dict) and (size := _size(each)) is not None:
            yield size


def _document(text: bytes, length: int) -> dict[str, Json]:
    try:
        document = parse(text, max_bytes=MAX_JSON_BYTES, max_depth=MAX_DEPTH)
    except StrictJsonError as error:
        raise FrameError(f"not strict JSON: {error}") from None
    if not isinstance(document, dict):
        raise FrameError("not a JSON object")
    found = sum(sizes(document))
    if found != length:
        raise FrameError(f"{length} bytes of data where its arrays have {found}")
    return document


def _elements(value: Json) -> Iterator[Json]:
    """Everything in a value, in the order of its text. The contents of forms are left out."""
    stack = [value]
    while stack:
        each = stack.pop()
        yield each
        if isinstance(each, list):
            stack.extend(reversed(each))
        elif isinstance(each, dict) and not (BYTES in each or ARRAY in each):
            stack.extend(reversed(each.values()))


def _size(value: dict[str, Json]) -> int | None:
    """Bytes of a form; None of a plain object."""
    if BYTES in value:
        size = value[BYTES]
        if len(value) == 1 and type(size) is int and 0 <= size < MAX_INTEGER:
            return size
        raise FrameError(f"a malformed {BYTES}")
    if ARRAY in value:
        form = value[ARRAY]
        if len(value) == 1 and isinstance(form, list) and 1 <= len(form) <= 1 + MAX_DIMENSIONS:
            name, *shape = form
            whole = [size for size in shape if type(size) is int and 0 <= size < MAX_INTEGER]
            if isinstance(name, str) and name in DTYPES and len(whole) == len(shape):
                return math.prod(whole) * DTYPES[name]
        raise FrameError(f"a malformed {ARRAY}")
    return None
