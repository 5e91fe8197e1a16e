"""What is said when a search for lines does not find one place: what is there instead."""

import difflib
from collections.abc import Sequence

_CONTEXT_LINES = 3
_WINDOWS = 400
"""Windows compared when the nearest text is looked for; bounds the cost on large files."""
_SHOWN_PLACES = 3
_SHOWN_LINES = 60


def ambiguous_places(lines: Sequence[str], starts: Sequence[int], count: int) -> str:
    """Says that `count` lines occur at all of `starts` (from 0), and shows some of the places."""
    listed = ", ".join(str(start + 1) for start in starts[:10])
    shown = "\n   …\n".join(
        _numbered(lines, start - 1, start + count + 1) for start in starts[:_SHOWN_PLACES]
    )
    return (
        f"`search` occurs {len(starts)} times (lines {listed}): "
        f"add lines around it until it is unique. It is here:\n{shown}"
    )


def nearest_text(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """Says that nothing matched, with the lines that come nearest."""
    if not lines:
        return "the file is empty: use `write`"
    target = "\n".join(line.strip() for line in wanted)
    best, where = 0.0, 0
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(target)
    for start in _candidates(lines, wanted):
        window = "\n".join(line.strip() for line in lines[start : start + len(wanted)])
        matcher.set_seq1(window)
        if matcher.real_quick_ratio() <= best or matcher.quick_ratio() <= best:
            continue
        ratio = matcher.ratio()
        if ratio > best:
            best, where = ratio, start
    shown = _numbered(lines, where - _CONTEXT_LINES, where + len(wanted) + _CONTEXT_LINES)
    return f"`search` matches nothing. The nearest text is:\n{shown}"


def _numbered(lines: Sequence[str], first: int, last: int) -> str:
    first, last = max(0, first), min(len(lines), last)
    shown = [f"{n + 1:5d}\t{lines[n].rstrip()}" for n in range(first, last)]
    if len(shown) > _SHOWN_LINES:
        shown[_SHOWN_LINES // 2 : -_SHOWN_LINES // 2] = ["  …"]
    return "\n".join(shown)


def _candidates(lines: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Starts of windows worth comparing: those that share a line with `wanted`, else all."""
    positions = {line.strip(): index for index, line in enumerate(wanted) if line.strip()}
    shared = {
        max(0, number - positions[line.strip()])
        for number, line in enumerate(lines)
        if line.strip() in positions
    }
    starts = sorted(shared) or list(range(max(1, len(lines) - len(wanted) + 1)))
    return starts[:_WINDOWS]
