"""Whether the process that made something is still alive, told across restarts of the machine."""

import os
import platform
from functools import cache
from pathlib import Path


def identity(pid: int | None = None) -> str:
    """Identifies a process of this machine (default: this one), also after its pid is used again.

    Raises:
        ProcessLookupError: There is no such process.
    """
    number = os.getpid() if pid is None else pid
    return ":".join([platform.node(), _boot(), _namespace(), str(number), _started(number)])


def is_dead(other: str) -> bool:
    """Whether the process of that identity is certainly gone.

    False when it cannot be known: another machine, or another pid namespace of this one.
    """
    parts = other.split(":")
    if len(parts) != 5 or parts[0] != platform.node():
        return False
    _, boot, namespace, pid, _ = parts
    if boot != _boot():
        return True
    if namespace != _namespace():
        return False
    try:
        return identity(int(pid)) != other
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "-"


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "-"


def _started(pid: int) -> str:
    """When the process started, in clock ticks since boot; "-" on systems without /proc."""
    os.kill(pid, 0)
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        os.kill(pid, 0)
        return "-"
    # The name, in parentheses, may hold anything; the state and the start time come behind it.
    fields = text.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        raise ProcessLookupError(pid)
    return fields[19]
