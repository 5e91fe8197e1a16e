"""Whole files and SEARCH/REPLACE blocks in an answer: which file each part is for.

What could be read in two ways is not read: a fence without a path beside others, a file with a
passage left out, a block that is not closed.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass

from harness.agents.edit import Block, EditError, parse_blocks

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_OPENING = re.compile(r"<{5,9} ?SEARCH(?: +\S.*?)?\s*")
_CLOSING = re.compile(r">{5,9} ?REPLACE\s*")
_PATH = re.compile(r"[\w.@+-]+(?:/[\w.@+-]+)*")
_COMMENT = re.compile(
    r"(?:#|//|--|/\*)\s*(?:file(?:name)?\s*:\s*|path\s*:\s*)?(\S+)", re.IGNORECASE
)
_LABEL = re.compile(
    r"^(?:\d+[.)]\s*)?(?:(?:new |updated )?file(?:name)?|path)\s*[:\uff1a]\s*", re.IGNORECASE
)
_ELISION = re.compile(
    r"^\s*(?:#|//|--|/\*)\s*(?:\.\.\.|…|\(?(?:the )?(?:rest|remainder) of the\b"
    r"|.*\b(?:unchanged|as before|existing code)\b.*(?:\.\.\.|…))",
    re.IGNORECASE,
)
_NO_FILE = frozenset({"bash", "sh", "shell", "console", "text", "txt", "output", "diff", "patch"})
_LANGUAGES = _NO_FILE | frozenset(
    {"python", "py", "python3", "json", "yaml", "toml", "c", "cpp", "c++", "cuda", "rust", "js",
     "javascript", "ts", "typescript", "go", "java", "markdown", "md", "julia", "r", "sql", "csv"}
)  # fmt: skip


class AnswerError(Exception):
    """The answer cannot be used; the message tells the model why."""


@dataclass(frozen=True, slots=True)
class PathBlock:
    """A SEARCH/REPLACE block and the file it is for; `path` is empty when nothing names one."""

    path: str
    block: Block


@dataclass(frozen=True, slots=True)
class _Fenced:
    """A fenced block: what its opening line says, the line before it, and what is inside."""

    info: str
    before: str
    body: str


def parse_files(text: str, *, only: str = "", known: str = "") -> dict[str, str]:
    """Whole files in fences that name their path, by path.

    A path may stand in the fence's opening line, on the line before it, or in a comment that is the
    file's first line. One fence without any is the file `only`, where that is given. `known` is
    what was there before: its lines never count as standing for something left out.

    Raises:
        AnswerError: A fence that is not closed, a file given twice or with parts left out, or
            fences of which it cannot be told what they are.
    """
    files: dict[str, str] = {}
    unnamed: list[_Fenced] = []
    for fenced in _fences(text):
        if has_blocks(fenced.body):
            continue
        path = _path_of(fenced)
        if path in files:
            raise AnswerError(f"{path} is there twice: give each file once, whole")
        if path:
            files[path] = fenced.body
        elif _language(fenced.info) not in _NO_FILE:
            unnamed.append(fenced)
    if not files and unnamed:
        if len(unnamed) > 1 or not only:
            raise AnswerError(
                f"{len(unnamed)} fenced blocks do not say which file they are: write the path in "
                "the opening line of each"
            )
        files[only] = unnamed[0].body
    lines = frozenset(known.split("\n"))
    for path, content in files.items():
        _refuse_gaps(path, content, lines)
    return files


def _refuse_gaps(path: str, content: str, known: Container[str]) -> None:
    for number, line in enumerate(content.split("\n"), 1):
        if line not in known and _ELISION.match(line):
            raise AnswerError(
                f"{path}, line {number} ({line.strip()[:80]!r}) stands for code that is left out: "
                "write the whole file"
            )


def _fences(text: str) -> Iterator[_Fenced]:
    lines = text.split("\n")
    before = ""
    index = 0
    while index < len(lines):
        line = lines[index]
        opening = _FENCE.match(line.rstrip("\r"))
        index += 1
        if opening is None:
            before = line if line.strip() else before
            continue
        start = index
        while index < len(lines) and not _closes(lines[index], opening[1]):
            index += 1
        if index == len(lines):
            raise AnswerError("the last fenced block is not closed: the answer is cut off")
        body = "".join(f"{each}\n" for each in lines[start:index])
        yield _Fenced(opening[2].strip(), before, body)
        before = ""
        index += 1


def _closes(line: str, marks: str) -> bool:
    line = line.strip()
    return line.startswith(marks) and not line.strip(marks[0])


def _language(info: str) -> str:
    return re.split(r"[\s:=,{]", info, maxsplit=1)[0].lower()


def _path_of(fenced: _Fenced) -> str:
    """The path that a fence is given, empty when none."""
    for word in re.split(r"[\s:=,\"'{}]+", fenced.info):
        if word.lower() not in _LANGUAGES and is_path(word):
            return tidy(word)
    heading = path_in_heading(fenced.before)
    if heading:
        return heading
    comment = _COMMENT.fullmatch(fenced.body.split("\n", 1)[0].strip())
    return tidy(comment[1]) if comment and is_path(comment[1]) else ""


def path_in_heading(line: str) -> str:
    """The path in a line that says little else, such as `### solve.py` or `**File: solve.py**`."""
    bare = _LABEL.sub("", line.strip().strip("*_#>: \t"))
    quoted = re.findall(r"`([^`\s]+)`", bare)
    if len(quoted) == 1 and is_path(quoted[0]):
        return tidy(quoted[0])
    bare = re.sub(r"\s*\([^()]*\)$", "", bare.strip("*_`: \t"))
    return tidy(bare) if is_path(bare) else ""


def find_path(text: str) -> str:
    """The path that `text` begins with, empty when it begins with none."""
    found = _PATH.match(text)
    word = found[0].rstrip(".") if found else ""
    return word if is_path(word) else ""


def is_path(word: str) -> bool:
    """Whether a word looks like a file's path, and not like a word or a number."""
    word = tidy(word)
    name = word.rpartition("/")[2]
    suffix = name.rpartition(".")[2] if "." in name else ""
    named = suffix[:1].isalpha() and len(suffix) <= 10 and word[:1] not in "-+"
    return bool(named and _PATH.fullmatch(word.removeprefix("/")))


def tidy(path: str) -> str:
    """A path as the work tree knows it."""
    path = path.strip().strip("`*\"'").strip()
    while path.startswith("./"):
        path = path[2:]
    return path


def has_blocks(text: str) -> bool:
    """Whether a SEARCH/REPLACE block begins somewhere in `text`."""
    return any(_OPENING.fullmatch(line) for line in text.split("\n"))


def parse_path_blocks(text: str) -> list[PathBlock]:
    """SEARCH/REPLACE blocks with the file each one is for.

    The path is in the block's opening line, or in a heading or a fence above it; a block without
    one belongs to the file of the block before it.

    Raises:
        AnswerError: A block that is not well-formed.
    """
    try:
        blocks = parse_blocks(text)
    except EditError as error:
        raise AnswerError(str(error)) from error
    # No block can begin inside another one, so the n-th opening line is the n-th block's.
    headings = iter(_headings(text))
    named: list[PathBlock] = []
    path = ""
    for block in blocks:
        above = next(headings)
        path = tidy(block.path) or above or path
        named.append(PathBlock(path, block))
    return named


def without_blocks(text: str) -> str:
    """What stands around the blocks."""
    return "\n".join(line for line, opens in _around(text) if not opens)


def _headings(text: str) -> Iterator[str]:
    """For each block the path in the last heading or fence above it, empty when there is none."""
    path = ""
    for line, opens in _around(text):
        if opens:
            yield path
            path = ""
        else:
            fence = _FENCE.match(line)
            info = _Fenced(fence[2].strip(), "", "") if fence else None
            path = (_path_of(info) if info else path_in_heading(line)) or path


def _around(text: str) -> Iterator[tuple[str, bool]]:
    """The lines outside blocks, and the opening lines of blocks (marked)."""
    inside = False
    for line in text.split("\n"):
        opens = not inside and _OPENING.fullmatch(line) is not None
        if opens or not inside:
            yield line, opens
        inside = opens or (inside and _CLOSING.fullmatch(line) is None)
