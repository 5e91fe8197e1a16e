"""What of a work tree is submitted, and the scan that reads it from outside.

Nothing in the folder is trusted: no link is followed, nothing is opened before it is known to be a
regular file, sizes are summed before a byte is read. A symbolic link is always refused, wherever it
points: what is evaluated has regular files only, so that it means the same on every machine and no
reader can be led out of it. Files that the rules leave out may be anything; they are not looked at.

`Sieve` holds the rules; it knows nothing of where entries come from, so that the scan of a folder
and the listing of a remote workspace refuse the same things in the same words.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.errors import SubmissionRefusedError
from harness.patterns import matcher
from harness.sandbox.base import MIB
from harness.sandbox.tree import MAX_DEPTH, TreeFile, content_problem, path_problem

ALWAYS_EXCLUDED = frozenset(
    {
        ".venv", "venv", "node_modules", "__pycache__", ".cache", ".mypy_cache", ".ruff_cache",
        ".pytest_cache", ".hypothesis", ".ipynb_checkpoints", ".DS_Store", ".harness",
    }
)  # fmt: skip
"""Names never submitted, at any depth; `*.pyc` and the top folder's `.git` beside them."""

MAX_ENTRIES = 100_000
"""Most files and folders looked at in one scan, submitted or not."""

Kind = Literal["file", "folder", "link", "special"]


@dataclass(frozen=True, slots=True)
class SubmissionRules:
    """Which files of a work tree are submitted, and how much of it.

    `include` and `exclude` are gitignore patterns relative to the top of the tree: a file is
    submitted when `include` matches it and `exclude` matches neither it nor a folder above it. A
    pattern without a slash matches at every depth (`/solve.py` only at the top). The workspace's
    own `.gitignore` plays no part.

    Raises:
        ValueError: On construction, for a pattern that is malformed, empty or a comment.
    """

    include: tuple[str, ...] = ("**",)
    exclude: tuple[str, ...] = ()
    max_bytes: int = 64 * MIB
    """All files together."""
    max_files: int = 2_000
    max_file_bytes: int = 32 * MIB
    """One file."""
    check: "Callable[[Mapping[str, TreeFile]], None] | None" = None
    """Of the whole tree, asked by who scans it; raises `SubmissionRefusedError`."""

    def __post_init__(self) -> None:
        matcher(self.include)
        matcher(self.exclude)


def _refuse(path: str, why: str, action: str) -> SubmissionRefusedError:
    return SubmissionRefusedError(f"{path!r} cannot be submitted: {why}; {action}")


class Sieve:
    """The rules applied to the entries of one work tree, parents before children.

    Holds the running totals of one scan: not for sharing between threads, not for a second scan.
    """

    def __init__(self, rules: SubmissionRules, *, hard_links: bool = False) -> None:
        self.files = 0
        self.bytes = 0
        self._rules = rules
        self._hard_links = hard_links
        self._included = matcher(rules.include)
        self._excluded = matcher(rules.exclude)
        self._seen = 0

    def enters(self, folder: str) -> bool:
        """Whether files below `folder` can be submitted.

        Raises:
            SubmissionRefusedError: When it is too deep to be looked at.
        """
        name = folder.rpartition("/")[2]
        if name in ALWAYS_EXCLUDED or name == ".git" or self._excluded(folder + "/"):
            return False
        if folder.count("/") + 1 >= MAX_DEPTH:
            raise _refuse(
                folder, f"it lies more than {MAX_DEPTH} folders deep", "move it up or delete it"
            )
        return True

    def admits(self, path: str, kind: Kind, *, size: int = 0, links: int = 1) -> bool:
        """Whether the file `path` is to be submitted, its folder having been entered.

        `kind` is `folder` for folders (never submitted; asked about for nested repositories).

        Raises:
            SubmissionRefusedError: When the rules select it and it cannot be recorded, or when
                with it the tree is too large.
        """
        self._count(path)
        parent, _, name = path.rpartition("/")
        if name == ".git" and not parent:
            return False
        if name in ALWAYS_EXCLUDED or name.endswith(".pyc"):
            return False
        if self._excluded(path) or not self._included(path):
            return False
        if name == ".git":
            raise _refuse(
                parent, "it is a git repository of its own", f"delete {path!r} to submit its files"
            )
        if kind == "folder":
            return False
        self._check(path, kind, links)
        self._add(path, size)
        return True

    def _count(self, path: str) -> None:
        self._seen += 1
        if self._seen > MAX_ENTRIES:
            raise _refuse(
                path, f"the work tree has more than {MAX_ENTRIES} files and folders", "delete some"
            )

    def _check(self, path: str, kind: Kind, links: int) -> None:
        problem = path_problem(path)
        if problem is not None:
            raise _refuse(path, problem, "rename or delete it")
        if kind == "link":
            raise _refuse(
                path, "it is a symbolic link", "put a copy of the file in its place or delete it"
            )
        if kind == "special":
            raise _refuse(path, "it is a pipe, a socket or a device", "delete it")
        if links > 1 and not self._hard_links:
            raise _refuse(
                path, f"it is one of {links} hard links to a file", "put a copy in its place"
            )

    def _add(self, path: str, size: int) -> None:
        rules = self._rules
        self.files += 1
        self.bytes += size
        if size > rules.max_file_bytes:
            raise _refuse(
                path,
                f"it has {size} bytes, {rules.max_file_bytes} are allowed",
                "make it smaller or delete it",
            )
        if self.files > rules.max_files:
            raise _refuse(
                path, f"with it the tree has more than {rules.max_files} files", "delete some"
            )
        if self.bytes > rules.max_bytes:
            raise _refuse(
                path, f"with it the tree has more than {rules.max_bytes} bytes", "delete some"
            )

    def check_any(self) -> None:
        """
        Raises:
            SubmissionRefusedError: When nothing was admitted.
        """
        if not self.files:
            raise SubmissionRefusedError(
                "there is nothing to submit: no file is matched by "
                f"include {list(self._rules.include)} without exclude {list(self._rules.exclude)}"
            )


def scan(folder: Path, rules: SubmissionRules, *, hard_links: bool = False) -> dict[str, TreeFile]:
    """The files of `folder` that the rules select, by path, sorted.

    Whoever can write to the folder must be stopped meanwhile: a file seen to change is refused,
    but a change that leaves size and times alone goes unseen. With `hard_links`, files with
    further hard links are accepted: for a folder of the user's own (package installers link
    files), never for one that an agent can write, who could name another's file that way.

    Raises:
        SubmissionRefusedError: Names the path, why, and what the agent can do.
        NotADirectoryError: When `folder` is not a folder (a link is not).
        FileNotFoundError: When it does not exist.
    """
    walk = _Walk(Sieve(rules, hard_links=hard_links))
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        raise unreadable(".") from None
    try:
        walk.folder(top, "")
    finally:
        os.close(top)
    walk.sieve.check_any()
    return dict(sorted(walk.found.items()))


@dataclass(slots=True)
class _Walk:
    """Depth first, one open folder per level: at most MAX_DEPTH file descriptors."""

    sieve: Sieve
    found: dict[str, TreeFile] = field(default_factory=dict[str, TreeFile])

    def folder(self, descriptor: int, prefix: str) -> None:
        with os.scandir(descriptor) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            path = prefix + name
            about = os.lstat(name, dir_fd=descriptor)
            kind = _kind(about.st_mode)
            if self.sieve.admits(path, kind, size=about.st_size, links=about.st_nlink):
                self.found[path] = _read(descriptor, name, path, about)
            elif kind == "folder" and self.sieve.enters(path):
                below = _open(descriptor, name, path, os.O_DIRECTORY)
                try:
                    self.folder(below, path + "/")
                finally:
                    os.close(below)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "special"


def _open(parent: int, name: str, path: str, flags: int = 0) -> int:
    # O_NONBLOCK: were the entry swapped for a pipe since it was looked at, opening must not wait.
    safe = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, safe | flags, dir_fd=parent)
    except PermissionError:
        raise unreadable(path) from None
    except OSError as error:
        raise changed(path) from error


def changed(path: str) -> SubmissionRefusedError:
    """The refusal of a file that was written to while it was read."""
    return _refuse(path, "it changed while it was read", "end what writes to it and submit again")


def unreadable(path: str) -> SubmissionRefusedError:
    """The refusal of a file or folder that its permissions keep from being read."""
    return _refuse(path, "it is not readable", "chmod u+r (a folder: u+rx) or delete it")


def accepted(path: str, file: TreeFile) -> TreeFile:
    """The file, once its content is known.

    Raises:
        SubmissionRefusedError: When such content cannot be recorded at that path.
    """
    problem = content_problem(path, file.data)
    if problem is not None:
        raise _refuse(path, problem, "shorten it or delete it")
    return file


def _read(parent: int, name: str, path: str, listed: os.stat_result) -> TreeFile:
    descriptor = _open(parent, name, path)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 (a descriptor, no path)
        before = os.fstat(descriptor)
        if _state(before) != _state(listed):
            raise changed(path)
        # One byte more than expected shows a file that grew; never reads past the cap.
        chunks = bytearray()
        while len(chunks) <= before.st_size and (
            chunk := file.read(before.st_size + 1 - len(chunks))
        ):
            chunks += chunk
        if len(chunks) != before.st_size or _state(os.fstat(descriptor)) != _state(before):
            raise changed(path)
    return accepted(path, TreeFile(bytes(chunks), bool(before.st_mode & stat.S_IXUSR)))


def _state(about: os.stat_result) -> tuple[int, ...]:
    return (
        about.st_mode, about.st_dev, about.st_ino, about.st_nlink, about.st_size,
        about.st_mtime_ns, about.st_ctime_ns,
    )  # fmt: skip
