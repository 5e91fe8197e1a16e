"""Serves the functions of a Python file to a judge: python -m harness_serve FILE.

The harness lays this file beside a submission of the kind `serve`. It needs the standard library
only, and NumPy where arrays are sent. A program in another language may take its place; it speaks
the same protocol on its standard input and output:

- A message is a header of 12 bytes (big-endian: 4 bytes length of the JSON, 8 bytes length of the
  data), one JSON object in UTF-8, and the data.
- Requests are `{"id", "op", "name", "args"}`. Each is answered by one message that repeats its
  `id`: `{"id", "value"}`, or `{"id", "error": {"type", "message"}}` when the function raised.
- `op` is `open` (sent once; answered by any value when the program is ready), `call` (the
  function's value), `hold` (keep the value, answer its `commitment`), `fetch` (the value that is
  held under the `id` that `name` is; it is let go) or `close` (end; no answer).
- Values are null, booleans, finite floats, integers of 64 bits, texts, lists, objects, and two
  forms whose bytes lie in the data, in the order in which they stand in the JSON:
  `{"__bytes__": length}` and `{"__array__": [dtype, size, ...]}`, C order, little-endian, dtype
  one of `DTYPES`.

Nothing but answers may be written to standard output, and nothing unasked.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import sys
import traceback
from importlib.machinery import SourceFileLoader
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

HEADER = struct.Struct(">IQ")
DTYPES = {
    "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
    "int8": 1, "int16": 2, "int32": 4, "int64": 8,
    "float16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Kinds of array elements and their size in bytes."""
MAX_ERROR_CHARACTERS = 2000
MAX_TRACEBACKS = 20
"""Printed at most: a function that raises at every call must not fill its standard error."""


def is_a(kind: type, value: Any) -> bool:
    """Whether `value` is of that type and of no subclass."""
    return type(value) is kind


def pack(value: Any, data: list[Any]) -> Any:
    """`value` as JSON; the bytes of arrays are appended to `data`.

    Raises:
        TypeError: Something that the protocol has no form for.
    """
    if value is None or is_a(bool, value) or is_a(int, value) or is_a(str, value):
        return value
    if is_a(float, value):
        if not math.isfinite(value):
            raise TypeError(f"{value} is not a finite number")
        return value
    if is_a(list, value) or is_a(tuple, value):
        return [pack(each, data) for each in value]
    if is_a(dict, value):
        if any(not is_a(str, key) or key.startswith("__") for key in value):
            raise TypeError("keys must be texts that do not begin with two underscores")
        return {key: pack(each, data) for key, each in value.items()}
    if is_a(bytes, value) or is_a(bytearray, value):
        data.append(value)
        return {"__bytes__": len(value)}
    return _pack_numpy(value, data)


def _pack_numpy(value: Any, data: list[Any]) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return pack(value.item(), data)
    if numpy is None or not isinstance(value, numpy.ndarray):
        raise TypeError(f"a {type(value).__name__} cannot be sent")
    name = value.dtype.name
    if name not in DTYPES:
        raise TypeError(f"an array of {name} cannot be sent")
    plain = numpy.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    data.append(memoryview(plain.reshape(-1).view(numpy.uint8)))
    return {"__array__": [name, *value.shape]}


def unpack(value: Any, data: memoryview, at: int = 0) -> tuple[Any, int]:
    """The value whose JSON is `value` and whose bytes begin at `at`; and where they end."""
    if is_a(list, value):
        found: list[Any] = []
        for each in value:
            item, at = unpack(each, data, at)
            found.append(item)
        return found, at
    if not is_a(dict, value):
        return value, at
    if "__bytes__" in value:
        end = at + value["__bytes__"]
        return bytes(data[at:end]), end
    if "__array__" in value:
        import numpy

        name, *shape = value["__array__"]
        end = at + math.prod(shape) * DTYPES[name]
        # A copy: aligned, and the caller's own to write to.
        flat = numpy.frombuffer(data[at:end], dtype=numpy.dtype(name).newbyteorder("<"))
        return flat.reshape(shape).astype(name, copy=True), end
    named: dict[str, Any] = {}
    for key, each in value.items():
        named[key], at = unpack(each, data, at)
    return named, at


def commitment(value: Any, parts: Iterable[Any]) -> str:
    """SHA-256 over the forms and the bytes of an array, or of a list of arrays, that are packed.

    For each: its `__array__` list as JSON without spaces, a line feed, its bytes.

    Raises:
        TypeError: It is anything else.
    """
    forms: list[Any] = value if is_a(list, value) else [value]
    if not all(is_a(dict, form) and "__array__" in form for form in forms):
        raise TypeError("only arrays and lists of arrays can be held")
    digest = hashlib.sha256()
    for form, part in zip(forms, parts, strict=True):
        digest.update(json.dumps(form["__array__"], separators=(",", ":")).encode() + b"\n")
        digest.update(part)
    return digest.hexdigest()


def encode(message: dict[str, Any]) -> list[Any]:
    """A message as pieces to be written one after the other."""
    data: list[Any] = []
    text = json.dumps(pack(message, data), allow_nan=False, separators=(",", ":")).encode()
    return [HEADER.pack(len(text), sum(map(len, data))) + text, *data]


def write(channel: int, pieces: list[Any]) -> None:
    """Write all of it."""
    for piece in pieces:
        left = memoryview(piece)
        while left:
            left = left[os.write(channel, left) :]


def read(channel: int) -> tuple[bytes, memoryview] | None:
    """The JSON and the data of the next message; None at the end of the stream."""
    header = read_exactly(channel, HEADER.size)
    if header is None:
        return None
    size, length = HEADER.unpack(header)
    text, data = read_exactly(channel, size), read_exactly(channel, length)
    if text is None or data is None:
        return None
    return bytes(text), data


def read_exactly(channel: int, size: int) -> memoryview | None:
    """`size` bytes; None when the stream ends before."""
    found = memoryview(bytearray(size))
    at = 0
    while at < size:
        got = os.readv(channel, [found[at:]])
        if not got:
            return None
        at += got
    return found


def decode(text: bytes, data: memoryview) -> dict[str, Any]:
    """The message that `read` returned."""
    message: dict[str, Any] = unpack(json.loads(text), data)[0]
    return message


class Server:
    """Answers requests by calling the functions of a module."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.held: dict[str, Any] = {}
        self.tracebacks = 0

    def answer(self, request: dict[str, Any]) -> list[Any]:
        """The pieces of the answer to a request."""
        head = {"id": request["id"]}
        try:
            return encode({**head, "value": self.value(request)})
        except Exception as error:
            if self.tracebacks < MAX_TRACEBACKS:
                self.tracebacks += 1
                traceback.print_exc()
            told = {"type": type(error).__name__, "message": str(error)[:MAX_ERROR_CHARACTERS]}
            return encode({**head, "error": told})

    def value(self, request: dict[str, Any]) -> Any:
        if request["op"] == "open":
            return None
        if request["op"] == "fetch":
            return self.held.pop(request["name"])
        value = getattr(self.module, request["name"])(*request["args"])
        if request["op"] == "hold":
            data: list[Any] = []
            self.held[request["id"]] = value
            return commitment(pack(value, data), data)
        return value


def load(file: str) -> ModuleType:
    """The Python file as a module; its folder is searched for what it imports."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(file)))  # noqa: PTH100, PTH120 - starts fast
    name = os.path.basename(file).removesuffix(".py")  # noqa: PTH119
    module = ModuleType(name)
    module.__file__ = file
    sys.modules[name] = module
    SourceFileLoader(name, file).exec_module(module)
    return module


def main() -> None:
    """Load the file, then answer until there are no more requests."""
    requests, answers = os.dup(0), os.dup(1)
    # What the program prints, and what it starts prints, goes to standard error.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    server = Server(load(sys.argv[1]))
    while (message := read(requests)) is not None:
        request = decode(*message)
        if request["op"] == "close":
            break
        write(answers, server.answer(request))


if __name__ == "__main__":
    main()
