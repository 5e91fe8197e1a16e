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
from typing import NamedTuple

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import ExecEnd, ExecResult
from harness.sandbox.shim.request import Request
from harness.sandbox.shim.supervisor import GO_ON, NOT_STOPPED, STOP, STOPPED
from harness.sandbox.zygote import ZYGOTE

GRACE_S = 20.0
"""How long the shim may take to start and, after the deadline, to end everything."""
_CHUNK = 1 << 16
_MARK = "HARNESS_EXEC"


class Execution:
    """One command, started at once. Awaiting `result` collects it; `abort` ends it early.

    Costs the event loop one order and a read per chunk of output; deadlines, limits and the end of
    the process tree are the shim's affair, in its own process.
    """

    def __init__(self, request: Request, stdin: bytes | None, max_output_bytes: int) -> None:
        """`stdin` None: input and output go through `channel`, which the caller closes."""
        self._loop = asyncio.get_running_loop()
        self._timeout_s = request["timeout_s"]
        self._left = max_output_bytes
        self._excess = False
        self._ended = self._loop.create_future()
        self._mark = secrets.token_hex(8)
        request["env"][_MARK] = self._mark
        try:
            started = _start(request, stdin)
        except OSError as error:
            raise SandboxUnavailableError(f"cannot start a process: {error}") from error
        self._control = started.control
        self._deadline: asyncio.Timeout | None = None
        self._stopped: asyncio.Future[bool] | None = None
        self._stopped_at = 0.0
        self.channel = started.channel
        self._streams = {fd: bytearray() for fd in (*started.outputs, self._control.fileno())}
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
            if fd == self._control.fileno():
                self._answered(stopped=True)
        elif fd == self._control.fileno():
            self._streams[fd] += self._without_answers(data)
        else:
            self._streams[fd] += data[: self._left]
            if len(data) > self._left:
                self._excess = True
                self.abort()
            self._left = max(0, self._left - len(data))

    def _without_answers(self, data: bytes) -> bytes:
        for word in (STOPPED, NOT_STOPPED):
            if word in data:
                self._answered(stopped=word == STOPPED)
                data = data.replace(word, b"")
        return data

    def _answered(self, *, stopped: bool) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(stopped)

    async def stop(self) -> None:
        """Have everything stand still until `go_on`; its seconds do not count meanwhile.

        Raises:
            SandboxUnavailableError: Something cannot be stopped.
        """
        self._stopped_at = self._loop.time()
        self._stopped = self._loop.create_future()
        if not self._say(STOP) or self._control.fileno() not in self._open:
            return  # it has ended
        try:
            async with asyncio.timeout(GRACE_S):
                stopped = await self._stopped
        except TimeoutError:
            stopped = False
        if not stopped:
            raise SandboxUnavailableError("a command cannot be stopped")

    def go_on(self) -> None:
        """After `stop`."""
        if self._stopped is None:
            return
        self._stopped = None
        self._say(GO_ON)
        if self._deadline is not None and (when := self._deadline.when()) is not None:
            self._deadline.reschedule(when + self._loop.time() - self._stopped_at)

    def _say(self, word: bytes) -> bool:
        try:
            self._control.send(word)
        except OSError:
            return False
        return True

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
            async with asyncio.timeout(self._timeout_s + GRACE_S) as self._deadline:
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
            self._deadline = None
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
        # Without standard output where it went through the channel.
        *stdout, stderr = (bytes(kept) for kept in self._streams.values())
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
        return ExecResult(ExecEnd(end), code, b"".join(stdout), stderr, duration_s, evidence)


class _Started(NamedTuple):
    """Our ends."""

    control: socket.socket
    channel: socket.socket | None
    outputs: tuple[int, ...]


def _start(request: Request, stdin: bytes | None) -> _Started:
    """Have the zygote start a shim."""
    with contextlib.ExitStack() as theirs:
        # Files in memory: no writer has to be fed, and a command that does not read cannot block us
        source = theirs.enter_context(_memory_file("request", marshal.dumps(dict(request))))
        with contextlib.ExitStack() as ours:
            outputs: tuple[int, ...]
            control, far = _pair(ours, theirs)
            stderr, err = _pipe(ours, theirs)
            if stdin is None:
                channel, inside = _pair(ours, theirs)
                outputs, streams = (stderr,), (inside.fileno(), inside.fileno(), err)
            else:
                given = theirs.enter_context(_memory_file("stdin", stdin))
                stdout, out = _pipe(ours, theirs)
                channel, outputs, streams = None, (stdout, stderr), (given, out, err)
            ZYGOTE.order((*streams, far.fileno(), source))
            ours.pop_all()
    return _Started(control, channel, outputs)


def _pair(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    return ours.enter_context(near), theirs.enter_context(far)


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
