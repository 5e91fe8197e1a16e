"""Search and replace in a text: exact first, then tolerant of white space; never a guess."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

_CONTEXT_LINES = 3
_NEAREST_LINES = 400
"""Windows compared when the nearest text is looked for; bounds the cost on large files."""


class EditError(ValueError):
    """The edit was not applied; the message says why and shows what to do."""


@dataclass(frozen=True, slots=True)
class Edited:
    """The new text, and whether the match had to be tolerant of white space."""

    text: str
    exact: bool


def replace_once(text: str, search: str, replacement: str) -> Edited:
    """`text` with the one occurrence of `search` replaced.

    An exact occurrence wins. Without one, whole lines are compared: first without trailing white
    space, then without indentation as well, where the difference in indentation is carried over to
    the replacement.

    Raises:
        EditError: Nothing to search for, no match, or more than one. Nothing is applied.
    """
    if not search.strip():
        raise EditError("`search` is empty: use `write` to create or replace a whole file")
    if search == replacement:
        raise EditError("`search` and `replace` are equal: nothing would change")
    places = _occurrences(text, search)
    if len(places) > 1:
        raise _ambiguous([text.count("\n", 0, place) + 1 for place in places])
    if places:
        start = places[0]
        return Edited(text[:start] + replacement + text[start + len(search) :], exact=True)
    return Edited(_replace_lines(text, search, replacement), exact=False)


def _occurrences(text: str, search: str) -> list[int]:
    """Where `search` begins in `text`, overlaps included."""
    places: list[int] = []
    start = text.find(search)
    while start >= 0:
        places.append(start)
        start = text.find(search, start + 1)
    return places


def _ambiguous(lines: Sequence[int]) -> EditError:
    shown = ", ".join(map(str, lines[:10]))
    return EditError(
        f"`search` occurs {len(lines)} times (lines {shown}): "
        "add lines around it until it is unique"
    )


def _replace_lines(text: str, search: str, replacement: str) -> str:
    lines = text.splitlines(keepends=True)
    wanted = search.strip("\n").splitlines()
    while wanted and not wanted[0].strip():
        wanted.pop(0)
    while wanted and not wanted[-1].strip():
        wanted.pop()
    for loosely in (False, True):
        found = [
            start
            for start in range(len(lines) - len(wanted) + 1)
            if _same(lines[start : start + len(wanted)], wanted, loosely)
        ]
        if len(found) > 1:
            raise _ambiguous([start + 1 for start in found])
        if found:
            matched = lines[found[0] : found[0] + len(wanted)]
            new = _fit(replacement, wanted, matched)
            return "".join([*lines[: found[0]], new, *lines[found[0] + len(wanted) :]])
    raise EditError(_unmatched(lines, wanted))


def _same(lines: Sequence[str], wanted: Sequence[str], loosely: bool) -> bool:
    if not loosely:
        return all(a.rstrip() == b.rstrip() for a, b in zip(lines, wanted, strict=True))
    if any(a.strip() != b.strip() for a, b in zip(lines, wanted, strict=True)):
        return False
    # One shift for all lines: otherwise the block's structure differs, not its indentation.
    return len(set(_shifts(lines, wanted))) <= 1


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _shifts(lines: Sequence[str], wanted: Sequence[str]) -> list[tuple[str, str]]:
    """For each line that is not blank: (indentation to take away, indentation to put instead)."""
    shifts: list[tuple[str, str]] = []
    for have, want in zip(lines, wanted, strict=True):
        if not want.strip():
            continue
        old, new = _indent(want), _indent(have)
        common = 0
        while common < min(len(old), len(new)) and old[-1 - common] == new[-1 - common]:
            common += 1
        shifts.append((old[: len(old) - common], new[: len(new) - common]))
    return shifts


def _fit(replacement: str, wanted: Sequence[str], matched: Sequence[str]) -> str:
    """`replacement` with the file's indentation and line ends."""
    shifts = _shifts(matched, wanted)
    take, put = shifts[0] if shifts else ("", "")
    ending = "\r\n" if matched[0].endswith("\r\n") else "\n"
    new: list[str] = []
    for line in replacement.strip("\n").splitlines():
        if line.strip() and line.startswith(take):
            line = put + line[len(take) :]
        new.append(line)
    if not replacement.strip("\n"):
        return ""
    closed = matched[-1].endswith(("\n", "\r"))
    return ending.join(new) + (ending if closed else "")


def _unmatched(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """Says that nothing matched, with the lines of the file that come nearest."""
    if not lines:
        return "the file is empty: use `write`"
    target = "\n".join(line.strip() for line in wanted)
    best, where = 0.0, 0
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(target)
    starts = _candidates(lines, wanted)
    for start in starts:
        window = "\n".join(line.strip() for line in lines[start : start + len(wanted)])
        matcher.set_seq1(window)
        if matcher.real_quick_ratio() <= best or matcher.quick_ratio() <= best:
            continue
        ratio = matcher.ratio()
        if ratio > best:
            best, where = ratio, start
    first = max(0, where - _CONTEXT_LINES)
    last = min(len(lines), where + len(wanted) + _CONTEXT_LINES)
    shown = "\n".join(f"{n + 1:5d}\t{lines[n].rstrip()}" for n in range(first, last))
    return f"`search` matches nothing. The nearest text is:\n{shown}"


def _candidates(lines: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Starts of windows worth comparing: those that share a line with `wanted`, else all."""
    positions = {line.strip(): index for index, line in enumerate(wanted) if line.strip()}
    shared = {
        max(0, number - positions[line.strip()])
        for number, line in enumerate(lines)
        if line.strip() in positions
    }
    starts = sorted(shared) or list(range(max(1, len(lines) - len(wanted) + 1)))
    return starts[:_NEAREST_LINES]
