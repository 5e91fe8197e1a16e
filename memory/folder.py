"""Where the memory lies, and whether it can lie there."""

import os
from pathlib import Path

from harness.errors import ConfigurationError
from harness.memory.base import MemoryConfig

DATABASE = "memory.db"

_NETWORK_NAMES = """
nfs nfs4 cifs smb2 smb3 smbfs ncpfs afs ceph lustre gpfs glusterfs beegfs orangefs pvfs2 davfs
fuse.sshfs fuse.glusterfs fuse.ceph fuse.s3fs fuse.rclone fuse.davfs2
"""
_NETWORK = frozenset(_NETWORK_NAMES.split())


def memory_folder(config: MemoryConfig) -> Path:
    """`config.path`, else `$HARNESS_MEMORY`, else one folder per user."""
    named = config.path or os.environ.get("HARNESS_MEMORY")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("harness", appauthor=False) / "memory"


def refuse_network(
    folder: Path,
    *,
    what: str = "the memory folder",
    setting: str = "`memory.path` in harness.yaml or HARNESS_MEMORY",
    mounts: Path = Path("/proc/self/mountinfo"),
) -> None:
    """SQLite's write-ahead log needs shared memory, which network file systems do not give.

    Known from the kernel's table of mounts; where there is none (macOS) nothing is refused.

    Args:
        folder: Need not exist yet.
        what: What `folder` is, for the message.
        setting: What names another folder, for the message.
        mounts: The kernel's table of mounts.

    Raises:
        ConfigurationError: `folder` is on a network file system.
    """
    kind = _file_system(folder, mounts)
    if kind in _NETWORK:
        raise ConfigurationError(
            f"{what} {folder} is on a network file system ({kind})",
            expected="a folder on a local disk: SQLite needs shared memory there",
            action=f"set {setting} to a local folder",
        )


def _file_system(folder: Path, mounts: Path) -> str | None:
    """Type of the file system that `folder` (which need not exist yet) is on."""
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    target = folder.resolve()
    best: tuple[int, str] | None = None
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        columns = before.split()
        if len(columns) < 5 or not after:
            continue
        point = Path(columns[4].encode().decode("unicode_escape"))
        if target.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), after.split()[0])
    return best[1] if best else None
