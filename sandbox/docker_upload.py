"""Copying a folder into a container where nothing can be mounted. Everything here blocks."""

import io
import tarfile
from pathlib import Path

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import Mount
from harness.sandbox.docker_container import Container

_PAGE_BYTES = 4096


def upload_bytes(folder: Path) -> int:
    """Memory that a copy of the folder takes in a file system in memory."""
    total = 0
    for path in folder.rglob("*"):
        status = path.lstat()
        total += _PAGE_BYTES * (1 + -(-status.st_size // _PAGE_BYTES))
    return total


def upload(container: Container, mount: Mount) -> None:
    """Copy the folder to the mount's target; a read-only one then belongs to root.

    Raises:
        SandboxUnavailableError: It cannot be written there.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(mount.source.rglob("*")):
            archive.add(path, path.relative_to(mount.source).as_posix(), recursive=False)
    code, output = container.run(
        ["tar", "--extract", "--file=-", "--no-same-owner", f"--directory={mount.target}"],
        stdin=buffer.getvalue(),
        user="0:0" if mount.read_only else None,
    )
    if code != 0:
        reason = output[-500:].decode("utf-8", "backslashreplace").strip()
        raise SandboxUnavailableError(f"copying {mount.source} to {mount.target}: {reason}")
