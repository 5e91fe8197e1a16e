"""Text on its way into a prompt: cleaned, bounded, fenced."""

import re

from harness.memory.text import one_line
from harness.text import visible as clean

__all__ = ["clean", "clip", "fence", "one_line"]

_FENCE = re.compile(r"`{3,}")


def clip(text: str, limit: int, note: str = "") -> str:
    """Head and tail of `text` within about `limit` characters, saying how much is left out."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    left_out = f"{len(text) - limit} characters left out{'; ' if note else ''}{note}"
    return f"{text[:head]}\n[… {left_out} …]\n{text[len(text) - tail :]}"


def fence(text: str, label: str = "", limit: int = 4000) -> str:
    """`text` as a block of data that cannot close its own fence."""
    body = clip(clean(text), limit)
    longest = max((len(run) for run in _FENCE.findall(body)), default=2)
    marks = "`" * (longest + 1)
    return f"{marks}{label}\n{body}\n{marks}"
