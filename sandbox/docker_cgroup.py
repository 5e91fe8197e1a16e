"""What the kernel counted for a container: processes ended for memory, forks refused.

Read from this machine's control groups (version 1 or 2) where they can be seen, which costs
microseconds; elsewhere from inside the container.
"""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")

# Prints the same lines from inside, where a container's own group is the root.
READ_INSIDE = """
for file in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ -r $file ] && grep '^oom_kill ' $file
done
for file in /sys/fs/cgroup/pids.events /sys/fs/cgroup/pids/pids.events; do
    [ -r $file ] && grep '^max ' $file
done
:
"""


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals since the container was started."""

    oom_kills: int = 0
    forks_refused: int = 0


@dataclass(frozen=True, slots=True)
class HostCgroup:
    """Control group files of one container, seen from this machine."""

    container_id: str
    memory_events: Path
    pids_events: Path
    pids_current: Path

    @classmethod
    def find(cls, container_id: str, pid: int) -> "HostCgroup | None":
        """Those of the container with the first process `pid`; None when they cannot be seen."""
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        memory = pids = ""
        for line in lines:
            _, controllers, path = line.split(":", 2)
            # Without the identifier it is another process: the daemon counts in another namespace.
            if container_id not in path:
                continue
            if not controllers:
                memory = memory or path.lstrip("/")
                pids = pids or path.lstrip("/")
            if "memory" in controllers.split(","):
                memory = "memory" + path
            if "pids" in controllers.split(","):
                pids = "pids" + path
        for events in ("memory.events", "memory.oom_control"):
            found = cls(
                container_id,
                _ROOT / memory / events,
                _ROOT / pids / "pids.events",
                _ROOT / pids / "pids.current",
            )
            if memory and pids and found.memory_events.exists() and found.pids_current.exists():
                return found
        return None

    def counters(self) -> Counters | None:
        """Totals now; None when the container is gone."""
        try:
            return parse_counters(
                self.memory_events.read_text(encoding="ascii"),
                self.pids_events.read_text(encoding="ascii"),
            )
        except OSError:
            return None

    def processes(self) -> int | None:
        """Processes and threads alive; None when the container is gone."""
        try:
            return int(self.pids_current.read_text(encoding="ascii"))
        except OSError:
            return None

    def kill(self, uid: int, mark: str = "") -> int:
        """Send SIGKILL to the processes of that user, or those with `mark` in their environment.

        Done from outside, so it works when the container's user has used up its processes and no
        command can be started. Returns how many there were.
        """
        try:
            words = (self.pids_current.parent / "cgroup.procs").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return sum(self._kill(int(word), uid, mark.encode()) for word in words)

    def _kill(self, pid: int, uid: int, mark: bytes) -> bool:
        folder = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError):
            # The descriptor stands for one process: should the number be another's by now, either
            # a check fails or the signal finds nobody.
            process = os.pidfd_open(pid)
            try:
                status = (folder / "status").read_text(encoding="utf-8", errors="replace")
                chosen = (
                    f"\nUid:\t{uid}\t" in status
                    and self.container_id in (folder / "cgroup").read_text(encoding="utf-8")
                    and (not mark or mark in (folder / "environ").read_bytes().split(b"\0"))
                )
                if chosen:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                return chosen
            finally:
                os.close(process)
        return False


def parse_counters(memory: str, pids: str) -> Counters:
    """From the text of `memory.events` or `memory.oom_control`, and of `pids.events`."""
    return Counters(_value(memory, "oom_kill"), _value(pids, "max"))


def _value(text: str, key: str) -> int:
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == key and words[1].isdigit():
            return int(words[1])
    return 0
