# ruff: noqa: PTH123, PTH208 - importing pathlib costs milliseconds
"""What a command uses: processes, memory, disk. Read from /proc and the folders themselves."""

from __future__ import annotations

import os
import time
from errno import ENAMETOOLONG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harness.sandbox.shim.request import Request, Watched

MIB = 1024 * 1024
DISK_POLL_S = 0.1


def children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass  # it is gone; its children are ours by now and seen at the next look
    return found


def descendants() -> list[int]:
    found: list[int] = []
    pending = children(os.getpid())
    while pending:
        pid = pending.pop()
        found.append(pid)
        pending += children(pid)
    return found


def states(pid: int) -> str:
    """The state of each task of a process (`R`, `S`, `D`, `T` …); nothing when it is gone."""
    found = ""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/stat", "rb") as file:
                found += chr(file.read().rpartition(b")")[2].split()[0][0])
        except OSError:
            continue
    return found


def fields(path: str, names: frozenset[str]) -> dict[str, int]:
    """The whole numbers of a file of lines `Name: number unit`; empty when it is gone."""
    found: dict[str, int] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in names:
                    found[name] = int(rest.split()[0])
    except OSError:
        pass
    return found


RESIDENT = frozenset({"Threads", "RssAnon", "RssShmem"})
PROPORTIONAL = frozenset({"Pss_Anon", "Pss_Shmem"})


def usage(pids: list[int]) -> tuple[int, int]:
    """Tasks of these processes, and bytes of memory that cannot be taken back (no file pages)."""
    tasks = resident = 0
    for pid in pids:
        status = fields(f"/proc/{pid}/status", RESIDENT)
        tasks += status.get("Threads", 0)
        resident += status.get("RssAnon", 0) + status.get("RssShmem", 0)
    return tasks, resident * 1024


def proportional(pids: list[int], otherwise: int) -> int:
    """Like `usage`, but pages that processes share count once; slower."""
    rollups = [fields(f"/proc/{pid}/smaps_rollup", PROPORTIONAL) for pid in pids]
    total = sum(sum(rollup.values()) for rollup in rollups) * 1024
    return min(total, otherwise) if all(rollups) else otherwise


def measure(folders: list[str], stop_at: int) -> tuple[int, int, int]:
    """Bytes on disk, files and folders (counted to `stop_at`), and the size of the largest file.

    What is nested too deeply for a path to reach counts as more than `stop_at` files: otherwise
    anything could be hidden there.
    """
    size = count = largest = 0
    pending = list(folders)
    while pending and count <= stop_at:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > stop_at:
                        break
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError as error:
                        count += stop_at * (error.errno == ENAMETOOLONG)
                        continue
                    size += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        largest = max(largest, status.st_size)
        except OSError as error:
            count += (stop_at + 1) * (error.errno == ENAMETOOLONG)
    return size, count, largest


def mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"


class DiskWatch:
    """The writable folders. What was there before does not count against the command."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.largest = 0
        self.next_at = 0.0
        self.before = [self.look(watched) for watched in request["watched"]]
        self.largest_before = self.largest

    def look(self, watched: Watched) -> tuple[int, int]:
        began = time.monotonic()
        size, count, largest = measure(watched["folders"], 2 * watched["max_inodes"])
        self.largest = max(self.largest, largest)
        ended = time.monotonic()
        self.next_at = ended + max(DISK_POLL_S, 20 * (ended - began))
        return size, count

    def full_file(self) -> bool:
        """Whether a file has grown to the largest size that is allowed."""
        return self.largest >= self.request["file_bytes"] and self.largest > self.largest_before

    def excess(self) -> str:
        for watched, (old_size, old_count) in zip(
            self.request["watched"], self.before, strict=True
        ):
            size, count = self.look(watched)
            if size > max(watched["max_bytes"], old_size):
                return f"{watched['label']} hold {mib(size)}, limit {mib(watched['max_bytes'])}"
            # Beyond twice the limit nothing was counted, before or now.
            if count > min(max(watched["max_inodes"], old_count), 2 * watched["max_inodes"]):
                return f"{watched['label']} hold {count} files, limit {watched['max_inodes']}"
        return ""
