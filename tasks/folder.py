"""The files of a task folder: listed without surprises, hashed the same on every machine."""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from harness.errors import TaskError

IGNORED = frozenset({"__pycache__", ".git", ".DS_Store"})


def files_below(folder: Path, *, links: bool = True) -> list[tuple[str, Path]]:
    """Relative POSIX path and path of each file below `folder`, sorted; caches left out.

    Raises:
        TaskError: On a broken link, a link that leaves the folder (any link, unless `links`), a
            special or unreadable file.
    """
    found: list[tuple[str, Path]] = []
    root = folder.resolve()

    def fail(error: OSError) -> None:
        raise TaskError(
            f"{error.filename} cannot be read: {error.strerror}",
            expected="folders and files that you may read",
            action=f"chmod -R u+rX {folder}",
        ) from None

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if name not in IGNORED)
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink():
                _check_link(path, root, links)
        for name in names:
            path = Path(parent, name)
            if name in IGNORED or name.endswith(".pyc"):
                continue
            if not stat.S_ISREG(path.stat().st_mode):
                raise TaskError(
                    f"{path} is neither a file nor a folder",
                    expected="plain files and folders",
                    action=f"remove it: rm {path}",
                )
            found.append((path.relative_to(folder).as_posix(), path))
    return sorted(found)


def _check_link(link: Path, root: Path, allowed: bool) -> None:
    target = Path(os.path.realpath(link))
    if not target.exists():
        raise TaskError(
            f"{link} is a broken link (to {link.readlink()})",
            expected="links whose target exists",
            action="restore its target, or remove the link",
        )
    if not allowed or link.is_dir() or not target.is_relative_to(root):
        inside = f"; links to files inside {root.name}/ at most" if allowed else " and no links"
        raise TaskError(
            f"{link} is a link to {target}",
            expected=f"plain files{inside}: a sandbox sees nothing else",
            action="copy the target in place of the link",
        )


def data_digest(folder: Path) -> str:
    """SHA-256 over names and sizes of a data set's files: quick, however large it is."""
    digest = hashlib.sha256()
    for name, path in files_below(folder):
        encoded = name.encode("utf-8", "surrogateescape")
        digest.update(f"{len(encoded)}:{path.stat().st_size}:".encode() + encoded)
    return digest.hexdigest()


def hash_files(files: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 over paths, sizes and contents, in the order given. Times and modes don't count."""
    digest = hashlib.sha256()
    for name, path in files:
        try:
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
                size = stream.tell()
        except OSError as error:
            raise TaskError(
                f"{path} cannot be read: {error.strerror}",
                expected="files that you may read",
                action=f"chmod u+r {path}",
            ) from None
        encoded = name.encode("utf-8", "surrogateescape")
        digest.update(f"{len(encoded)}:{size}:".encode() + encoded + content)
    return digest.hexdigest()
