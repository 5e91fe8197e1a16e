"""Runs one command under the shim, from the harness's event loop."""

import asyncio
import contextlib
import marshal
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import harness
from harness.errors import SandboxUnavailableError
from harness.sandbox.base import ExecEnd, ExecResult
from harness.sandbox.shim.request import Request

GRACE_S = 20.0
"""How long the shim may take to start and, after the deadline, to end everything."""
_CHUNK = 1 << 16
_PROGRAM = (
    f"import sys; sys.path.append({str(Path(harness.__file__).parents[1])!r}); "
    "from harness.sandbox.shim.supervisor import main; main()"
)
_MARK = "HARNESS_EXEC"


class Execution:
    """One command, started at once. Awaiting `result` collects it; `abort` ends it early.

    Costs the event loop one spawn and a read per chunk of output; deadlines, limits and the end of
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
        self._control, theirs = socket.socketpair()
        try:
            with theirs:
                self._shim = _spawn(request, stdin, theirs.fileno())
        except OSError as error:
            self._control.close()
            raise SandboxUnavailableError(f"cannot start a process: {error}") from error
        assert self._shim.stdout is not None
        assert self._shim.stderr is not None
        self._streams = {
            fd: bytearray()
            for fd in (
                self._shim.stdout.fileno(),
                self._shim.stderr.fileno(),
                self._control.fileno(),
            )
        }
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
        unreported = not self._streams[self._control.fileno()]
        self._report = bytes(self._streams.pop(self._control.fileno()))
        self._control.close()
        if self._open:
            self._shim.kill()
        self._shim.wait()
        for stream in (self._shim.stdout, self._shim.stderr):
            if stream is not None:
                stream.close()
        if unreported or self._open:
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


def _spawn(request: Request, stdin: bytes, control: int) -> "subprocess.Popen[bytes]":
    # Files in memory: no writer has to be fed, and a command that does not read cannot block us.
    with (
        _memory_file("request", marshal.dumps(dict(request))) as source,
        _memory_file("stdin", stdin) as standard_input,
    ):
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(control), str(source)],
            stdin=standard_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(control, source),
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )


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
