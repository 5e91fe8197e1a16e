"""A tree of an attempt as one text, for formats whose programs are one file."""

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

from harness.sandbox.repository import TreeFile

_LANGUAGES = {
    ".py": "python", ".cpp": "cpp", ".cc": "cpp", ".cxx": "cpp", ".hpp": "cpp", ".h": "cpp",
    ".c": "c", ".cu": "cuda", ".rs": "rust", ".go": "go", ".js": "javascript", ".ts": "typescript",
    ".java": "java", ".jl": "julia", ".sh": "shell", ".r": "r",
}  # fmt: skip
_HASH_COMMENTS = frozenset({"python", "julia", "shell", "r", "text"})


def text_of(file: TreeFile) -> str | None:
    """What a file says; None when it is no text."""
    try:
        text = file.data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def language_of(files: Mapping[str, TreeFile]) -> str:
    """The language most bytes of a tree are in, by the names of its files; `text` for no known."""
    sizes: Counter[str] = Counter()
    for path, file in files.items():
        language = _LANGUAGES.get(PurePosixPath(path).suffix.lower())
        if language is not None:
            sizes[language] += len(file.data)
    return max(sorted(sizes), key=sizes.__getitem__, default="text")


def program_text(files: Mapping[str, TreeFile]) -> str:
    """The only text file of a tree as it is; of several, all by path with a comment above each."""
    texts = {path: text for path, file in files.items() if (text := text_of(file)) is not None}
    if len(texts) == 1:
        return next(iter(texts.values()))
    mark = "#" if language_of(files) in _HASH_COMMENTS else "//"
    return "\n".join(f"{mark} === {path} ===\n{text}" for path, text in sorted(texts.items()))
