"""What a recorded tree consists of: files and the names they may have."""

import re
import unicodedata
from typing import NamedTuple

MAX_NAME_BYTES = 255
"""Longest file or folder name (the limit of Linux and macOS file systems)."""
MAX_PATH_BYTES = 1024
"""Longest path from the top of the tree: leaves room for the folder it is written to."""
MAX_DEPTH = 32
"""Most names in one path; also the most folders held open at once."""

# Names that git, on any file system, takes for its own control files: `.git`, `.gitmodules` and
# what NTFS (8.3 short names, trailing dots and blanks, streams) and HFS+ (any case) make of them.
# A tree that has one is refused by `git fsck` and by every clone.
_GIT_NAME = re.compile(r"\.git|\.gitmodules|(g(i[0-9a-z]{0,4})?)?~[1-9][0-9]*", re.IGNORECASE)

# Control characters; invisible ones (joiners, text direction: HFS+ ignores them); line separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp"})

# git (2.39) refuses longer lines in the attributes file of a tree; it matches the name in any case.
_ATTRIBUTES_NAME = ".gitattributes"
_ATTRIBUTES_LINE_BYTES = 2047


class TreeFile(NamedTuple):
    """One regular file of a tree."""

    data: bytes
    executable: bool = False


def path_problem(path: str) -> str | None:
    """Why `path` (relative, `/` between names) cannot be in a tree, None when it can.

    Undecodable bytes are expected as surrogates, as `os.fsdecode` gives them.
    """
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if size > MAX_PATH_BYTES:
        return f"its path is longer than {MAX_PATH_BYTES} bytes"
    names = path.split("/")
    if len(names) > MAX_DEPTH:
        return f"it lies more than {MAX_DEPTH} folders deep"
    for name in names:
        problem = _name_problem(name)
        if problem is not None:
            return problem
    return None


def content_problem(path: str, data: bytes) -> str | None:
    """Why a file at `path` cannot have this content in a tree, None when it can."""
    name = path.rpartition("/")[2].rstrip(". ").lower()
    if name == _ATTRIBUTES_NAME and max(map(len, data.split(b"\n"))) > _ATTRIBUTES_LINE_BYTES:
        return f"git reads no line longer than {_ATTRIBUTES_LINE_BYTES} bytes in it"
    return None


def _name_problem(name: str) -> str | None:
    if name in {"", ".", ".."}:
        return f"{name!r} is not a name"
    if not name.isascii() or not name.isprintable():
        if len(name.encode("utf-8")) > MAX_NAME_BYTES:
            return f"a name in it is longer than {MAX_NAME_BYTES} bytes"
        if any(unicodedata.category(character) in _INVISIBLE for character in name):
            return "its name has control or invisible characters"
    elif len(name) > MAX_NAME_BYTES:
        return f"a name in it is longer than {MAX_NAME_BYTES} bytes"
    if "\\" in name:
        return "its name has a backslash"
    if _GIT_NAME.fullmatch(name.partition(":")[0].rstrip(". ")):
        return "git keeps such names for itself"
    return None
