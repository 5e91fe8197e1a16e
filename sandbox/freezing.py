"""Standing still: the process trees of running commands are stopped and let go on.

The command's supervisor is not stopped: it must notice when the harness is killed, and end what
stands still. A process that forks while it is looked for is found by the next look.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PATIENCE_S = 5.0
"""After which what cannot be stopped is left: it is being killed, or the machine is overloaded."""
_LOOK_S = 0.002
_STANDING = frozenset("TtZX")
"""States of processes that do nothing: stopped, traced, dead."""


def stop_tree(supervisor: int, ended: Callable[[], bool]) -> list[int]:
    """Stop all that runs below `supervisor`; the processes that were stopped.

    Waits for the command to start, unless it has `ended`.
    """
    stopped: set[int] = set()
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and not ended():
        below = _descendants(supervisor)
        running = [pid for pid in below if _state(pid) not in _STANDING]
        if below and not running:
            break
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.add(pid)
        time.sleep(_LOOK_S)
    return sorted(stopped)


def go_on(supervisor: int, stopped: list[int]) -> None:
    """Let go on those of `stopped` that are still there: numbers of others may be new ones."""
    for pid in set(stopped) & set(_descendants(supervisor)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    pending = _children(pid)
    while pending:
        found.append(pending.pop())
        pending += _children(found[-1])
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _state(pid: int) -> str:
    """The letter of its state; `X` when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return "X"
    return stat.rpartition(b")")[2].split()[0].decode("ascii")
