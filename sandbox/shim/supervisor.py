"""The shim's own process: starts the command, watches it, ends it, reports."""

from __future__ import annotations

import marshal
import os
import select
import time

from harness.sandbox.shim.command import SIGCONT, SIGKILL, SIGSTOP, SIGXFSZ, call, start
from harness.sandbox.shim.watch import DiskWatch, descendants, mib, proportional, states, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harness.sandbox.shim.request import Request

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
FIRST_POLL_S, LAST_POLL_S, BUSY_POLL_S = 0.02, 0.25, 0.02
STOP, GO_ON = b"s", b"g"
"""What the harness says on CONTROL, in turn; its end says that the command is not wanted."""
STOPPED, NOT_STOPPED = b"\0", b"\1"
"""The answers to STOP."""
STOP_TIMEOUT_S, PATIENCE_S = 10.0, 1.0


class Supervisor:
    def __init__(self, request: Request, control: int) -> None:
        self.request = request
        self.control = control
        self.peak_bytes = 0
        self.status = 0
        self.ended = False
        self.pause_s = FIRST_POLL_S
        self.pid, self.report = start(request)
        self.began = time.monotonic()
        self.deadline = self.began + request["timeout_s"]
        self.disk = DiskWatch(request)

    def run(self) -> tuple[str, int, float, str]:
        """How the command ended, exit code, seconds, evidence; nothing of it is left."""
        pidfd = os.pidfd_open(self.pid)
        try:
            end, evidence = self.wait(pidfd)
            duration_s = time.monotonic() - self.began
        finally:
            self.sweep()
        code = os.waitstatus_to_exitcode(self.status)
        if end == "exited":
            end, evidence = self.judge(code)
        return end, code, duration_s, evidence

    def wait(self, pidfd: int) -> tuple[str, str]:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        poller.register(self.control, select.POLLIN)
        while True:
            pause_s = max(0.0, min(self.pause_s, self.deadline - time.monotonic()))
            ready = [fd for fd, _ in poller.poll(pause_s * 1000)]
            if self.control in ready and not self.obey():
                return "cancelled", "the harness ended it"
            if pidfd in ready:
                # It may have had too many since the last look, and ended over a fork refused.
                return self.crowd(usage(descendants())[0]) or ("exited", "")
            if time.monotonic() >= self.deadline:
                return "timeout", f"still running after {self.request['timeout_s']:g} s"
            if excess := self.excess():
                return excess

    def obey(self) -> bool:
        """Do what the harness says; False when the command is no longer wanted."""
        word = os.read(self.control, 1)
        if word != STOP:
            return bool(word)
        began = time.monotonic()
        os.write(self.control, STOPPED if self.stop(began) else NOT_STOPPED)
        word = os.read(self.control, 1)
        for pid in descendants():
            signal(pid, SIGCONT)
        self.deadline += time.monotonic() - began
        return bool(word)

    def stop(self, began: float) -> bool:
        """Have every process stand still; whether they do."""
        looks = 0
        while time.monotonic() - began < STOP_TIMEOUT_S:
            # A parent that waits for its child's exec cannot be stopped, nor does it do anything.
            still = "TtZXD" if time.monotonic() - began > PATIENCE_S else "TtZX"
            moving = [pid for pid in descendants() if not set(states(pid)) <= set(still)]
            # One may have had a child just before it stopped: the second look finds that.
            looks = 0 if moving else looks + 1
            if looks == 2:
                return True
            for pid in moving:
                signal(pid, SIGSTOP)
            if moving:
                time.sleep(0.0005)
        return False

    def excess(self) -> tuple[str, str] | None:
        self.reap()
        pids = descendants()
        tasks, memory = usage(pids)
        limit = self.request["memory_bytes"]
        # First: so many processes hold much memory as well, and are the cause of it.
        if crowd := self.crowd(tasks):
            return crowd
        if memory > limit and (memory := proportional(pids, memory)) > limit:
            return "out_of_memory", f"its processes held {mib(memory)}, limit {mib(limit)}"
        busy = memory > limit // 2 or tasks > self.request["pids"] // 2
        self.pause_s = BUSY_POLL_S if busy else min(1.5 * self.pause_s, LAST_POLL_S)
        if time.monotonic() >= self.disk.next_at and (evidence := self.disk.excess()):
            return "disk", evidence
        return None

    def crowd(self, tasks: int) -> tuple[str, str] | None:
        limit = self.request["pids"]
        return ("pids", f"{tasks} processes and threads, limit {limit}") if tasks > limit else None

    def judge(self, code: int) -> tuple[str, str]:
        """What the traces of an ended command say about why it ended."""
        if evidence := self.disk.excess():
            return "disk", evidence
        limit = self.request["file_bytes"]
        if code in (-SIGXFSZ, 128 + SIGXFSZ) or (code != 0 and self.disk.full_file()):
            return "disk", f"a file reached the size limit of {mib(limit)}"
        if code != 0 and self.peak_bytes > self.request["memory_bytes"]:
            limit = self.request["memory_bytes"]
            return "out_of_memory", f"a process held {mib(self.peak_bytes)}, limit {mib(limit)}"
        # 126 without a word of it: the arguments were too long or malformed for any program.
        if (
            self.request["options"]
            and code != 126
            and b'"exit-code"' not in os.read(self.report, 65536)
        ):
            return "failed", "the sandbox could not be set up"
        return "exited", ""

    def reap(self) -> bool:
        """Collect the dead; whether any child is left."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.peak_bytes = max(self.peak_bytes, used.ru_maxrss * 1024)
            if pid == self.pid:
                self.status = status

    def sweep(self) -> None:
        """Kill every descendant until none is left; orphans come to us, so none gets away."""
        while self.reap():
            for pid in descendants():
                signal(pid, SIGKILL)
            time.sleep(0.0005)


def signal(pid: int, number: int) -> None:
    try:  # noqa: SIM105 - contextlib costs milliseconds at each start
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def supervise(control: int, source: int) -> None:
    """Run the command of the request in `source`; CONTROL tells this process and the outcome."""
    os.write(control, f"{os.getpid()}\n".encode())
    with open(source, "rb") as file:
        request: Request = marshal.loads(file.read())
    call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    try:
        end, code, duration_s, evidence = Supervisor(request, control).run()
    except Exception as error:  # supervision point: told to the harness, which raises
        end, code, duration_s, evidence = "failed", 1, 0.0, f"{type(error).__name__}: {error}"
    try:  # noqa: SIM105 - contextlib costs milliseconds at each start
        os.write(control, f"{end}\n{code}\n{duration_s}\n{evidence}".encode("utf-8", "replace"))
    except OSError:
        pass  # the harness is gone
