"""Runs one command under the shim, from the harness's event loop."""

import asyncio
import contextlib
import marshal
import os
import secrets
import signal
import socket
from collections.abc import Generator
from pathlib import Path

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import ExecEnd, ExecResult
from harness.sandbox.shim.request import Request
from harness.sandbox.zygote import ZYGOTE

GRACE_S = 20.0
"""How long the shim may take to start and, after the deadline, to end everything."""
_CHUNK = 1 << 16
_START_POLL_S = 0.002
_MARK = "HARNESS_EXEC"


class Execution:
    """One command, started at once. Awaiting `result` collects it; `abort` ends it early.

    Costs the event loop one order and a read per chunk of output; deadlines, limits and the end of
    the process tree are the shim's affair, in its own process.
    """

    def __init__(self, request: Request, stdin: bytes, max_output_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = request["timeout_s"]
        self._left = max_output_bytes
        self._excess = False
        self._ended = self._loop.create_future()
        self._mark = secrets.token_hex(8)
        request["env"][_MARK] = self._mark
        try:
            self._control, *outputs = _start(request, stdin)
        except OSError as error:
            raise SandboxUnavailableError(f"cannot start a process: {error}") from error
        self._streams = {fd: bytearray() for fd in (*outputs, self._control.fileno())}
        self._open = set(self._streams)
        for fd in self._streams:
            os.set_blocking(fd, False)
            self._loop.add_reader(fd, self._read, fd)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._loop.remove_reader(fd)
            self._open.discard(fd)
            if not self._open and not self._ended.done():
                self._ended.set_result(None)
        elif fd == self._control.fileno():
            self._streams[fd] += data
        else:
            self._streams[fd] += data[: self._left]
            if len(data) > self._left:
                self._excess = True
                self.abort()
            self._left = max(0, self._left - len(data))

    def ended(self) -> bool:
        """Whether the command and everything it started is gone. From any thread."""
        return self._ended.done()

    async def supervisor(self) -> int | None:
        """The process that watches the command; None when all is over."""
        control = self._control.fileno()
        while not self._ended.done():
            pid, started, _ = bytes(self._streams.get(control, b"")).partition(b"\n")
            if started:
                return int(pid)
            await asyncio.sleep(_START_POLL_S)
        return None

    def abort(self) -> None:
        """Have everything killed; `result` tells when that is done."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    async def result(self) -> ExecResult:
        """How the command ended. When this is cancelled, the command is ended first.

        Raises:
            SandboxUnavailableError: The shim failed, was killed, or `abort` was called.
        """
        try:
            async with asyncio.timeout(self._timeout_s + GRACE_S):
                await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            self.abort()
            # A second cancellation does not make the first one's killing any faster.
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await asyncio.shield(self._ended)
            raise
        except TimeoutError as error:
            raise SandboxUnavailableError("the command could not be ended in time") from error
        finally:
            self._close()
        return self._judge()

    def _close(self) -> None:
        for fd in self._open:
            self._loop.remove_reader(fd)
        control = self._control.fileno()
        pid, _, report = bytes(self._streams.pop(control)).partition(b"\n")
        self._report = report
        if control in self._open:
            # Not ended, so the number is still its own. Without one it was never started.
            _kill(int(pid)) if pid else ZYGOTE.stop()
        self._control.close()
        for fd in self._streams:
            os.close(fd)
        if not report or self._open:
            _kill_marked(f"{_MARK}={self._mark}".encode())

    def _judge(self) -> ExecResult:
        stdout, stderr = (bytes(kept) for kept in self._streams.values())
        if not self._report:
            raise SandboxUnavailableError("the command's supervisor was killed")
        lines = self._report.decode("utf-8", "replace").split("\n", 3)
        end, code, duration_s, evidence = lines[0], int(lines[1]), float(lines[2]), lines[3]
        if end == "failed":
            detail = stderr.decode("utf-8", "backslashreplace").strip()
            raise SandboxUnavailableError(f"the sandbox did not start: {evidence} {detail}".strip())
        if self._excess:
            end, evidence = ExecEnd.OUTPUT_LIMIT, "more output than the limit"
        elif end == "cancelled":
            raise SandboxUnavailableError("the sandbox was closed while a command ran")
        return ExecResult(ExecEnd(end), code, stdout, stderr, duration_s, evidence)


def _start(request: Request, stdin: bytes) -> tuple[socket.socket, int, int]:
    """Have the zygote start a shim: our ends of its control, standard output and error."""
    with contextlib.ExitStack() as theirs:
        # Files in memory: no writer has to be fed, and a command that does not read cannot block us
        source = theirs.enter_context(_memory_file("request", marshal.dumps(dict(request))))
        standard_input = theirs.enter_context(_memory_file("stdin", stdin))
        with contextlib.ExitStack() as ours:
            control, far = socket.socketpair()
            ours.enter_context(control)
            theirs.enter_context(far)
            stdout, out = _pipe(ours, theirs)
            stderr, err = _pipe(ours, theirs)
            ZYGOTE.order((standard_input, out, err, far.fileno(), source))
            ours.pop_all()
    return control, stdout, stderr


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for stack, end in zip((reader, writer), ends, strict=True):
        stack.callback(os.close, end)
    return ends


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def _memory_file(name: str, data: bytes) -> Generator[int, None, None]:
    fd = os.memfd_create(name)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _kill_marked(mark: bytes) -> None:
    """End what a command left when its supervisor was killed, which the same uid can do."""
    for _ in range(100):  # a process that forks meanwhile is found by the next look
        found = False
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found = True
                    os.kill(int(entry.name), signal.SIGKILL)
        if not found:
            return
