"""Real text that nobody wrote for the memory: Python's standard library and licences.

A record is a function: its qualified name is the title, its signature, the rest of its docstring
and its code the text. The query for it is the first sentence of its docstring, which is taken out.
A query that two functions share, that has fewer than five words, or whose sentence is left anywhere
in the record is not asked. Whether a query may be used for tuning or is held back depends on its
top-level module alone.
"""

import ast
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

MAX_TEXT = 4_000
MIN_QUERY_WORDS = 5
SKIPPED = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "turtledemo"}
)
LICENCES = Path("/usr/share/common-licenses")
_SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Passage(NamedTuple):
    """A function as a record, with the query whose answer it is, if it has one."""

    title: str
    text: str
    query: str | None
    tuning: bool
    """Whether the query may be used to choose constants; the others are what is reported."""


def passages() -> list[Passage]:
    """All documented functions of the installed standard library, in order of their names."""
    found = list(_documented(Path(sysconfig.get_paths()["stdlib"])))
    times = Counter(sentence for *_, sentence in found)
    return [
        Passage(
            name,
            text,
            sentence if _fair(sentence, text) and times[sentence] == 1 else None,
            _tuning(name),
        )
        for name, text, sentence in found
    ]


def unrelated() -> list[str]:
    """Sentences of the licences on this machine: legal English, nothing about functions."""
    sentences: dict[str, None] = {}
    if not LICENCES.is_dir():
        return []
    for path in sorted({each.resolve() for each in LICENCES.iterdir() if each.is_file()}):
        text = path.read_text("utf-8", "replace")
        for paragraph in text.split("\n\n"):
            for match in _SENTENCE.finditer(" ".join(paragraph.split())):
                if 8 <= len(match[1].split()) <= 40:
                    sentences[match[1]] = None
    return list(sentences)


def code_lines(count: int) -> list[tuple[str, str]]:
    """At most `count` passages of other real code (title, text): parts of installed packages."""
    found: list[tuple[str, str]] = []
    for path in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py")):
        lines = path.read_text("utf-8", "replace").splitlines()
        for start in range(0, len(lines), 20):
            text = "\n".join(lines[start : start + 30])[:MAX_TEXT]
            if len(text) > 200:
                found.append((f"{path.stem} {start}", text))
            if len(found) == count:
                return found
    return found


def _documented(root: Path) -> Iterator[tuple[str, str, str]]:
    """(name, text without the sentence, first sentence of the docstring)."""
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if SKIPPED.intersection(place.parts):
            continue
        try:
            source = path.read_text("utf-8")
            tree = ast.parse(source)
        except (SyntaxError, UnicodeDecodeError):
            continue  # files that are there to be wrong
        lines = source.splitlines()
        for name, node in _functions(tree, ".".join(place.with_suffix("").parts)):
            documentation = ast.get_docstring(node)
            if documentation:
                sentence = _first_sentence(documentation)
                yield name, _text(node, lines, documentation, sentence), sentence


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield f"{prefix}.{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}.{child.name}")


def _first_sentence(documentation: str) -> str:
    paragraph = " ".join(documentation.strip().split("\n\n")[0].split())
    match = _SENTENCE.match(paragraph)
    return match[1] if match else paragraph


def _text(node: Function, lines: list[str], documentation: str, sentence: str) -> str:
    docstring = node.body[0]
    head = lines[node.lineno - 1 : docstring.lineno - 1]
    code = lines[docstring.end_lineno or docstring.lineno : node.end_lineno]
    rest = " ".join(documentation.split()).replace(sentence, "", 1).strip()
    return "\n".join([*head, rest, *code])[:MAX_TEXT]


def _fair(sentence: str, text: str) -> bool:
    return len(sentence.split()) >= MIN_QUERY_WORDS and sentence not in " ".join(text.split())


def _tuning(name: str) -> bool:
    return blake2b(name.split(".")[0].encode(), digest_size=1).digest()[0] % 2 == 0
