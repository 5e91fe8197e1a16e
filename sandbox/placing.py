"""Emptying and filling folders that an agent may have prepared with hostile content.

Everything goes through open folders (`dir_fd`) and follows no link, so that nothing outside the
folder can be touched even if a path in it is swapped meanwhile.
"""

import errno
import os
import stat
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.sandbox.tree import TreeFile, path_problem

Owner = tuple[int, int]
"""uid and gid."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def _opened(path: str | Path, parent: int | None = None) -> Generator[int]:
    descriptor = os.open(path, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _names(descriptor: int) -> list[str]:
    with os.scandir(descriptor) as entries:
        return [entry.name for entry in entries]


def clear(folder: Path) -> None:
    """Remove everything in `folder`, however deep, whatever the permissions.

    Raises:
        OSError: When something cannot be removed (a mount point, another's file).
    """
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        folder.chmod(0o755)
    with _opened(folder) as top:
        while names := _names(top):
            for name in names:
                _remove(top, name)


def _remove(top: int, name: str) -> None:
    """Remove an entry of `top`; folders in it move up to `top`, for the next round.

    So no path gets long and no more than two folders are open, at any depth of nesting.
    """
    if not stat.S_ISDIR(os.lstat(name, dir_fd=top).st_mode):
        os.unlink(name, dir_fd=top)
        return
    if stat.S_IMODE(os.lstat(name, dir_fd=top).st_mode) & 0o700 != 0o700:
        _make_accessible(name, top)
    with _opened(name, top) as inner:
        for child in _names(inner):
            if stat.S_ISDIR(os.lstat(child, dir_fd=inner).st_mode):
                # A folder that changes its parent must itself be writable.
                _make_accessible(child, inner)
                os.rename(child, uuid.uuid4().hex, src_dir_fd=inner, dst_dir_fd=top)
            else:
                os.unlink(child, dir_fd=inner)
    os.rmdir(name, dir_fd=top)


def _make_accessible(name: str, parent: int) -> None:
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        # Only an ordinary user gets here; chmod by name then reaches no more than that user's own.
        os.chmod(name, 0o700, dir_fd=parent)
        return
    try:
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def place(folder: Path, files: Mapping[str, TreeFile], owner: Owner | None = None) -> None:
    """Write files into an empty folder (made when missing), folders as needed.

    Modes are 0644, 0755 for executables and folders. With `owner`, everything including `folder`
    itself is given to it.

    Raises:
        FileExistsError: When the folder is not empty.
        ValueError: For a path that may not be in a tree.
    """
    for path in files:
        problem = path_problem(path)
        if problem is not None:
            raise ValueError(f"{path!r}: {problem}")
    folder.mkdir(parents=True, exist_ok=True)
    with _opened(folder) as top:
        if _names(top):
            raise FileExistsError(errno.ENOTEMPTY, "the folder is not empty", str(folder))
        _give(top, 0o755, owner)
        _place_below(top, files, owner)


def _place_below(top: int, files: Mapping[str, TreeFile], owner: Owner | None) -> None:
    """Write sorted files, keeping the folders of the current path open."""
    open_names: list[str] = []
    open_folders = [top]
    try:
        for path in sorted(files, key=lambda path: path.split("/")):
            *parents, name = path.split("/")
            common = 0
            while common < min(len(parents), len(open_names)) and (
                parents[common] == open_names[common]
            ):
                common += 1
            while len(open_names) > common:
                open_names.pop()
                os.close(open_folders.pop())
            for parent in parents[common:]:
                os.mkdir(parent, 0o755, dir_fd=open_folders[-1])
                open_folders.append(os.open(parent, _FOLDER, dir_fd=open_folders[-1]))
                open_names.append(parent)
                _give(open_folders[-1], 0o755, owner)
            _write(open_folders[-1], name, files[path], owner)
    finally:
        for descriptor in open_folders[1:]:
            os.close(descriptor)


def _write(parent: int, name: str, file: TreeFile, owner: Owner | None) -> None:
    descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
    try:
        view = memoryview(file.data)
        while view:
            view = view[os.write(descriptor, view) :]
        _give(descriptor, 0o755 if file.executable else 0o644, owner)
    finally:
        os.close(descriptor)


def _give(descriptor: int, mode: int, owner: Owner | None) -> None:
    if owner is not None:
        os.fchown(descriptor, *owner)
    os.fchmod(descriptor, mode)
