"""Search and replace in a text: exact first, then tolerant of white space; never a guess.

Several blocks are applied all or none. Each is looked for in the text as it was, so their order
does not matter and none can match what another one has put in.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.agents.nearest import ambiguous_places, nearest_text

__all__ = ["Block", "EditError", "Edited", "apply_blocks", "parse_blocks", "replace_once"]

_OPEN = re.compile(r"(<{5,9}) ?SEARCH(?: +(\S.*?))?\s*")
_CLOSE = re.compile(r">{5,9} ?REPLACE\s*")
_CONFLICT = re.compile(r"^[ \t]*[<>]{7}(?: \S.*)?\r?$", re.MULTILINE)
_REPORTED_BLOCKS = 3

Same = Callable[[Sequence[str], Sequence[str]], bool]
"""Whether as many lines of the text are those that are wanted."""
_FORM = (
    "a block is `<<<<<<< SEARCH`, the lines to replace, `=======`, the new lines, "
    "`>>>>>>> REPLACE`, each marker on a line of its own"
)


class EditError(ValueError):
    """The edit was not applied; the message says why and shows what to do."""


@dataclass(frozen=True, slots=True)
class Block:
    """One replacement. With `lines`, `search` stands for whole lines, never for parts of one.

    `path` is what the block's opening line names, empty when it names nothing.
    """

    search: str
    replace: str
    lines: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True)
class Edited:
    """The new text, and whether every match was exact or one had to be tolerant of white space."""

    text: str
    exact: bool


@dataclass(frozen=True, slots=True)
class _Span:
    """What is taken out of the text, and what is put in its place."""

    start: int
    stop: int
    text: str
    exact: bool


def parse_blocks(text: str) -> list[Block]:
    """The SEARCH/REPLACE blocks in `text`, in order; what stands around them is passed over.

        <<<<<<< SEARCH optional/path.py
        lines to replace
        =======
        new lines; none to delete
        >>>>>>> REPLACE

    The divider has as many signs as the opening marker: with eight, a block can hold a line of
    seven `=`.

    Raises:
        EditError: A block that is not well-formed; nothing of such a text should be applied.
    """
    blocks: list[Block] = []
    lines = iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        opening = _OPEN.fullmatch(line)
        if opening:
            blocks.append(_block(number, opening, lines))
        elif _CLOSE.fullmatch(line):
            raise EditError(f"line {number} closes a block that was not opened: {_FORM}")
    return blocks


def _block(start: int, opening: re.Match[str], lines: Iterator[tuple[int, str]]) -> Block:
    """The block that begins at line `start`; takes its lines from `lines`."""
    divider = "=" * len(opening[1])
    parts: list[list[str]] = [[]]
    for number, line in lines:
        if _OPEN.fullmatch(line):
            raise EditError(f"the block at line {start} has another one inside: {_FORM}")
        if _CLOSE.fullmatch(line):
            if len(parts) == 1:
                raise EditError(f"the block at line {start} has no `{divider}` line: {_FORM}")
            search, replace = ("".join(f"{each}\n" for each in part) for part in parts)
            return Block(search, replace, lines=True, path=opening[2] or "")
        if line.rstrip() == divider:
            if len(parts) == 2:
                raise EditError(
                    f"the block at line {start} has a second `{divider}` line ({number}): if it "
                    f"belongs to the text, write the markers of this block with "
                    f"{len(divider) + 1} signs each"
                )
            parts.append([])
            continue
        parts[-1].append(line)
    raise EditError(f"the block at line {start} is not closed: {_FORM}")


def replace_once(text: str, search: str, replacement: str) -> Edited:
    """`text` with the one occurrence of `search` replaced: `apply_blocks` with one block."""
    return apply_blocks(text, [Block(search, replacement)])


def apply_blocks(text: str, blocks: Sequence[Block]) -> Edited:
    """`text` with every block applied.

    An exact occurrence wins. Without one, whole lines are compared: first without trailing white
    space, then without indentation as well, where the difference in indentation is carried over to
    the replacement. A block that searches for nothing gives an empty text its content.

    Raises:
        EditError: A block that matches nothing, more than one place or the place of another one,
            that changes nothing or leaves a conflict marker behind. Nothing is applied.
    """
    if not blocks:
        raise EditError(f"there is no block: {_FORM}")
    spans: list[_Span] = []
    problems: list[str] = []
    for number, block in enumerate(blocks, 1):
        try:
            spans.append(_locate(text, block))
        except EditError as error:
            which = f"block {number} of {len(blocks)}: " if len(blocks) > 1 else ""
            problems.append(f"{which}{error}")
    if problems:
        more = len(problems) - _REPORTED_BLOCKS
        tail = [f"({more} more blocks do not apply)"] if more > 0 else []
        raise EditError("\n".join([*problems[:_REPORTED_BLOCKS], *tail]))
    new = _spliced(text, spans)
    if len(_CONFLICT.findall(new)) > len(_CONFLICT.findall(text)):
        raise EditError(
            "the replacement has a conflict marker in it: leave out `<<<<<<<`/`>>>>>>>`"
        )
    return Edited(new, all(span.exact for span in spans))


def _spliced(text: str, spans: Sequence[_Span]) -> str:
    parts: list[str] = []
    end = 0
    for span in sorted(spans, key=lambda each: (each.start, each.stop)):
        if span.start < end:
            line = text.count("\n", 0, span.start) + 1
            raise EditError(f"two blocks change the same text (line {line}): make them one block")
        parts += (text[end : span.start], span.text)
        end = span.stop
    return "".join([*parts, text[end:]])


def _locate(text: str, block: Block) -> _Span:
    if not block.search.strip():
        if text.strip():
            raise EditError(
                "`search` is empty, which only fills an empty file: to insert, search for a line "
                "beside the place and repeat it in the replacement; `write` replaces a whole file"
            )
        if not block.replace:
            raise EditError("`search` and `replace` are empty: nothing would change")
        return _Span(0, len(text), block.replace, exact=True)
    if block.search == block.replace:
        raise EditError("`search` and `replace` are equal: nothing would change")
    if not block.lines:
        places = _occurrences(text, block.search)
        if len(places) > 1:
            starts = [text.count("\n", 0, place) for place in places]
            raise EditError(ambiguous_places(_split(text), starts, block.search.count("\n") + 1))
        if places:
            start = places[0]
            return _Span(start, start + len(block.search), block.replace, exact=True)
    return _locate_lines(text, block)


def _occurrences(text: str, search: str) -> list[int]:
    """Where `search` begins in `text`, overlaps included."""
    places: list[int] = []
    start = text.find(search)
    while start >= 0:
        places.append(start)
        start = text.find(search, start + 1)
    return places


def _split(text: str) -> list[str]:
    """Lines with their ends. Only a newline ends a line: a form feed within one stays there."""
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _bare(text: str) -> list[str]:
    """Lines without their ends."""
    return [line.removesuffix("\n").removesuffix("\r") for line in _split(text)]


def _locate_lines(text: str, block: Block) -> _Span:
    lines = _split(text)
    wanted, new = _bare(block.search), _bare(block.replace)
    if block.lines:
        found = _windows(lines, wanted, _equal)
        if len(found) > 1:
            raise EditError(ambiguous_places(lines, found, len(wanted)))
        if found:
            return _span(lines, found[0], wanted, new, exact=True)
    wanted, new = _trimmed(wanted, new)
    for same in (_alike, _shifted):
        found = _windows(lines, wanted, same)
        if len(found) > 1:
            raise EditError(ambiguous_places(lines, found, len(wanted)))
        if found:
            return _span(lines, found[0], wanted, new, exact=False)
    raise EditError(nearest_text(lines, wanted))


def _trimmed(wanted: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    """Both without the blank lines at the ends of `wanted`."""
    wanted, new = list(wanted), list(new)
    for end in (0, -1):
        while not wanted[end].strip():
            wanted.pop(end)
            if new and not new[end].strip():
                new.pop(end)
    return wanted, new


def _windows(lines: Sequence[str], wanted: Sequence[str], same: Same) -> list[int]:
    count = len(wanted)
    return [
        start
        for start in range(len(lines) - count + 1)
        if same(lines[start : start + count], wanted)
    ]


def _span(
    lines: Sequence[str], start: int, wanted: Sequence[str], new: Sequence[str], *, exact: bool
) -> _Span:
    matched = lines[start : start + len(wanted)]
    first = sum(map(len, lines[:start]))
    text = _fit(new, wanted, matched)
    return _Span(first, first + sum(map(len, matched)), text, exact)


def _equal(lines: Sequence[str], wanted: Sequence[str]) -> bool:
    ends = "\r\n"
    return all(a.rstrip(ends) == b.rstrip(ends) for a, b in zip(lines, wanted, strict=True))


def _alike(lines: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(a.rstrip() == b.rstrip() for a, b in zip(lines, wanted, strict=True))


def _shifted(lines: Sequence[str], wanted: Sequence[str]) -> bool:
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


def _fit(new: Sequence[str], wanted: Sequence[str], matched: Sequence[str]) -> str:
    """The new lines with the text's indentation and line ends."""
    shifts = _shifts(matched, wanted)
    take, put = shifts[0] if shifts else ("", "")
    ending = "\r\n" if matched[0].endswith("\r\n") else "\n"
    fitted = [
        put + line[len(take) :] if line.strip() and line.startswith(take) else line for line in new
    ]
    if not fitted:
        return ""
    closed = matched[-1].endswith("\n")
    return ending.join(fitted) + (ending if closed else "")
