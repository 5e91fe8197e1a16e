"""Reading and writing below a folder whose content somebody hostile controls.

Every step of a path is opened relative to the folder before it and never through a link, so what is
opened lies below the root whatever is renamed meanwhile. Nothing here blocks on a FIFO.
"""

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Generator
from pathlib import Path

from harness.sandbox.placing import clear

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Owner = tuple[int, int]


def _parts(relative: str) -> list[str]:
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if relative.startswith("/") or ".." in parts or not parts or "\0" in relative:
        raise PermissionError(f"not a path below the folder: {relative!r}")
    return parts


@contextlib.contextmanager
def _folder(
    root: Path, parts: list[str], *, make: bool, owner: Owner | None
) -> Generator[int, None, None]:
    """The file descriptor of a folder below `root`; `root` itself is trusted."""
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if make:
                _make_folder(part, current, owner)
            following = _open(part, _FOLDER, current)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def _make_folder(name: str, parent: int, owner: Owner | None) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
        if owner is not None:
            os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)


def _open(name: str, flags: int, parent: int) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        raise
    except OSError as error:  # a link (ELOOP), not a folder (ENOTDIR), a socket (ENXIO)
        raise PermissionError(f"not a plain file or folder: {name!r}: {error.strerror}") from error


def open_beneath(root: Path, relative: str) -> int:
    """A file descriptor for reading the regular file `relative` below `root`; the caller closes it.

    Raises:
        FileNotFoundError: No such file.
        PermissionError: Outside `root`, through a link, or not a regular file.
    """
    *folders, name = _parts(relative)
    with _folder(root, folders, make=False, owner=None) as parent:
        fd = _open(name, _FILE, parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise PermissionError(f"not a regular file: {relative!r}")
    return fd


def read_beneath(root: Path, relative: str, max_bytes: int) -> bytes:
    """The content of a file; raises what `open_beneath` raises.

    Raises:
        OverflowError: Larger than `max_bytes`.
    """
    with os.fdopen(open_beneath(root, relative), "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OverflowError(f"{relative!r} is larger than {max_bytes} bytes")
    return data


def write_beneath(
    root: Path, relative: str, data: bytes, *, executable: bool, owner: Owner | None
) -> None:
    """Create or replace a file in one step, parents included.

    Raises:
        PermissionError: Outside `root`, through a link, or in place of something else than a file.
    """
    *folders, name = _parts(relative)
    with _folder(root, folders, make=True, owner=owner) as parent:
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if not stat.S_ISREG(mode):
                raise PermissionError(f"not a regular file: {relative!r}")
        temporary = f".{name[:100]}.{secrets.token_hex(6)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=parent), "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), 0o755 if executable else 0o644)
                if owner is not None:
                    os.fchown(file.fileno(), *owner)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=parent)
            raise


def give_to(folder: Path, owner: Owner) -> None:
    """Make `owner` the owner of a folder and all below it, however deep, following no link."""
    os.chown(folder, *owner, follow_symlinks=False)
    here = os.open(folder, _FOLDER)
    try:
        pending = [_give_entries(here, owner)]
        while pending[0] or len(pending) > 1:
            deeper = bool(pending[-1])
            following = os.open(pending[-1].pop() if deeper else "..", _FOLDER, dir_fd=here)
            os.close(here)
            here = following
            if deeper:
                pending.append(_give_entries(here, owner))
            else:
                pending.pop()
    finally:
        os.close(here)


def _give_entries(parent: int, owner: Owner) -> list[str]:
    """Make `owner` the owner of what lies in a folder; returns the folders of it."""
    folders: list[str] = []
    with os.scandir(parent) as entries:
        for entry in entries:
            os.chown(entry.name, *owner, dir_fd=parent, follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
    return folders


def make_folders_beneath(root: Path, relative: str) -> None:
    """Make a folder that everybody can pass through, and those that lead to it.

    What is in the way and no folder is removed.
    """
    current = os.open(root, _FOLDER)
    try:
        for part in _parts(relative):
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(os.stat(part, dir_fd=current, follow_symlinks=False).st_mode):
                    os.unlink(part, dir_fd=current)
            _make_folder(part, current, None)
            _unlock(part, current, 0o755)
            following = _open(part, _FOLDER, current)
            os.close(current)
            current = following
    finally:
        os.close(current)


def remove_tree(folder: Path) -> None:
    """Remove a folder, however deep, whatever the permissions of what is in it."""
    with contextlib.suppress(OSError):
        try:
            shutil.rmtree(folder)
        except (OSError, RecursionError):  # closed, or nested too deeply: slower, but it copes
            clear(folder)
            folder.rmdir()


def _unlock(name: str, parent: int, mode: int) -> None:
    # chmod cannot be told not to follow a link, so the folder is opened as what it is first.
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{fd}").chmod(mode)
    finally:
        os.close(fd)
