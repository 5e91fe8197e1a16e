"""How alike two attempts' changes are: what convergence is told by.

Two attempts on the same base share most of their text whatever they do, so it is their changes
that are compared: the token sequences that an attempt adds to its base and removes from it. Work is
bounded by the bytes that are read and by the size of a sketch, and done once an attempt.
"""

import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.agents.heartbeats.base import AttemptView

Files = Mapping[str, bytes]
Changes = Callable[[AttemptView], tuple[Files, Files]]
"""The files in which an attempt and its base differ: of the base, of the attempt."""

SHINGLE = 3
"""Tokens in a row that are compared as one."""
SKETCH = 512
"""Shingles that are kept of a change; of a larger one, a sample that is the same for equal ones."""
MAX_BYTES = 32 * 1024
"""Changed text that is looked at, of each side."""
KEPT = 512
"""Attempts whose sketch is kept."""

_TOKEN = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*|[0-9][0-9_.eE]*|[^\sA-Za-z0-9_]")

Sketch = frozenset[int]


def sketch(before: Files, after: Files) -> Sketch:
    """A change as a set of hashed token sequences, those added apart from those removed.

    White space and empty lines do not count. Numbers do: a sweep over a parameter is no copying.
    """
    old, new = _lines(before), _lines(after)
    removed = _shingles(line for line in old if line not in new)
    added = _shingles(line for line in new if line not in old)
    marked = {hash_ << 1 for hash_ in removed - added} | {
        hash_ << 1 | 1 for hash_ in added - removed
    }
    if len(marked) <= SKETCH:
        return frozenset(marked)
    # The smallest of hashes that are as good as random: a fair sample, the same for equal sets.
    return frozenset(sorted(marked, key=_mixed)[:SKETCH])


def resemblance(left: Sketch, right: Sketch) -> float:
    """Share of what two changes have in common, from 0 to 1; two empty ones are equal."""
    if not left and not right:
        return 1.0
    if len(left) < SKETCH and len(right) < SKETCH:
        return len(left & right) / len(left | right)
    # Of a bottom-k sample, only the smallest of both together say anything.
    union = sorted(left | right, key=_mixed)[:SKETCH]
    return sum(each in left and each in right for each in union) / len(union)


class Similarity:
    """How alike two attempts are, remembered; `changes` reads the files of one."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._sketches: OrderedDict[str, Sketch] = OrderedDict()
        self._pairs: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __call__(self, left: AttemptView, right: AttemptView) -> float:
        if left.tree == right.tree:
            return 1.0
        pair = (left.id, right.id) if left.id < right.id else (right.id, left.id)
        if pair not in self._pairs:
            self._pairs[pair] = resemblance(self._sketch(left), self._sketch(right))
            _bound(self._pairs, KEPT * 64)
        return self._pairs[pair]

    def _sketch(self, attempt: AttemptView) -> Sketch:
        if attempt.id not in self._sketches:
            self._sketches[attempt.id] = sketch(*self._changes(attempt))
            _bound(self._sketches, KEPT)
        return self._sketches[attempt.id]


def _bound(kept: "OrderedDict[Any, Any]", size: int) -> None:
    while len(kept) > size:
        kept.popitem(last=False)


def _lines(files: Files) -> dict[bytes, None]:
    """The lines without their white space, each once, in order, as far as they are looked at."""
    found: dict[bytes, None] = {}
    left = MAX_BYTES
    for _, data in sorted(files.items()):
        for line in data[:left].splitlines():
            if stripped := b" ".join(line.split()):
                found[stripped] = None
        left -= min(left, len(data))
    return found


def _shingles(lines: Iterable[bytes]) -> set[int]:
    """Hashed runs of tokens within each line; a shorter line counts as one."""
    found: set[int] = set()
    for line in lines:
        tokens: list[bytes] = _TOKEN.findall(line)
        for start in range(max(1, len(tokens) - SHINGLE + 1)):
            found.add(zlib.crc32(b" ".join(tokens[start : start + SHINGLE])))
    return found


def _mixed(value: int) -> int:
    """A bijection that leaves no trace of the order (crc32 is linear)."""
    value = (value ^ value >> 17) * 0xED5AD4BB & 0x1FFFFFFFF
    value = (value ^ value >> 11) * 0xAC4C1B51 & 0x1FFFFFFFF
    return value ^ value >> 15
