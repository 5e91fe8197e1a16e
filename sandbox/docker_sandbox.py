"""One container as a sandbox."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from harness.errors import SandboxUnavailableError
from harness.sandbox import files
from harness.sandbox.base import MIB, CommandStream, ExecEnd, ExecResult, Limits
from harness.sandbox.docker_attach import Bounds, Demultiplexer, ExecStream, Stop
from harness.sandbox.docker_cgroup import Counters
from harness.sandbox.docker_container import Container
from harness.sandbox.docker_files import read_by_command, write_by_command
from harness.sandbox.shim.watch import measure
from harness.sandbox.stream import streaming
from harness.sandbox.workspace import in_thread

_MARK = "HARNESS_EXEC"
# The guard inside ends a command only if the harness died: it must not be first, nor fire because
# the container stood still for a while.
_GUARD_SLACK_S = 600
_EXIT_KILLED = 137


class RunningClock:
    """Seconds that pass only while the container is not paused."""

    def __init__(self) -> None:
        self._paused_s = 0.0
        self._paused_at: float | None = None

    def now(self) -> float:
        at = self._paused_at
        return (time.monotonic() if at is None else at) - self._paused_s

    def stop(self) -> None:
        self._paused_at = time.monotonic()

    def go_on(self) -> None:
        if self._paused_at is not None:
            self._paused_s += time.monotonic() - self._paused_at
            self._paused_at = None


@dataclass(slots=True)
class Command:
    """One command on its way through the sandbox."""

    argv: Sequence[str]
    timeout_s: float
    stdin: bytes
    env: Mapping[str, str]
    cwd: str
    max_output_bytes: int
    mark: str
    channel: socket.socket | None = None
    """Where its input comes from and its output goes to; else `stdin` and the result."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    exec_id: str = ""
    began: float = 0.0
    before: Counters = field(default_factory=Counters)


class DiskWatch:
    """Bytes and files in the writable folders; what was there before is not held against it."""

    def __init__(self, folders: Sequence[Path], limits: Limits) -> None:
        self._folders = [str(folder) for folder in folders]
        self._limits = limits
        self._next_at = 0.0
        self._before = self._look()

    def _look(self) -> tuple[int, int]:
        began = time.monotonic()
        size, count, _ = measure(self._folders, 2 * self._limits.inodes)
        ended = time.monotonic()
        # Looking takes at most a twentieth of the time, however many files there are.
        self._next_at = ended + max(0.1, 20 * (ended - began))
        return size, count

    def __call__(self, *, now: bool = False) -> Stop | None:
        if not self._folders or (not now and time.monotonic() < self._next_at):
            return None
        size, count = self._look()
        limits = self._limits
        if size > max(limits.disk_bytes, self._before[0]):
            return ExecEnd.DISK, f"{size} bytes in writable folders, limit {limits.disk_bytes}"
        # Beyond twice the limit nothing was counted, before or now.
        if count > min(max(limits.inodes, self._before[1]), 2 * limits.inodes):
            return ExecEnd.DISK, f"over {limits.inodes} files and folders in writable folders"
        return None


class DockerSandbox:
    """A long-lived container; one exec per command, nothing left behind by any.

    `folders` are the host's sides of writable mounts, `host_workdir` that of the working directory
    (None where nothing can be mounted). `remove` takes the container away.
    """

    def __init__(
        self,
        container: Container,
        limits: Limits,
        *,
        workdir: str,
        targets: frozenset[str],
        folders: Sequence[Path],
        host_workdir: Path | None,
        owner: files.Owner | None,
        executor: Executor,
        remove: Callable[[], Awaitable[None]],
    ) -> None:
        self._container = container
        self._limits = limits
        self._workdir = workdir
        self._targets = targets
        self._folders = folders
        self._host_workdir = host_workdir
        self._owner = owner
        self._executor = executor
        self._remove = remove
        self._clock = RunningClock()
        self._running: dict[str, Command] = {}
        self._closed = False
        self._marks = 0
        # Held while commands are started, ended or kept from running.
        self._gate = asyncio.Lock()

    @property
    def workdir(self) -> str:
        return self._workdir

    def path(self, target: str) -> str:
        if target not in self._targets:
            raise KeyError(target)
        return target

    async def exec(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        max_output_bytes: int = 10 * MIB,
    ) -> ExecResult:
        """As `Sandbox.exec`; a command killed by a signal has the exit code 128 + its number."""
        return await self._to_its_end(
            self._command(argv, timeout_s, stdin, env, cwd, max_output_bytes)
        )

    @asynccontextmanager
    async def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> AsyncGenerator[CommandStream]:
        near, far = socket.socketpair()
        with far:
            command = self._command(argv, timeout_s, b"", env, cwd, MIB)
            command.channel = far
            async with streaming(near, self._streamed(command, far)) as stream:
                yield stream

    async def _streamed(self, command: Command, far: socket.socket) -> ExecResult:
        try:
            return await self._to_its_end(command)
        finally:
            far.close()  # whoever reads must hear of a command that could not even be started

    def _command(
        self,
        argv: Sequence[str],
        timeout_s: float,
        stdin: bytes,
        env: Mapping[str, str] | None,
        cwd: str | None,
        max_output_bytes: int,
    ) -> Command:
        self._marks += 1
        return Command(
            argv,
            timeout_s,
            stdin,
            dict(env or {}),
            str(PurePosixPath(self._workdir) / (cwd or "")),
            max_output_bytes,
            mark=f"{self._container.short_id}-{self._marks}",
        )

    async def _to_its_end(self, command: Command) -> ExecResult:
        # A task of its own: a caller that is cancelled waits until everything is ended.
        task = asyncio.create_task(self._run(command))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            command.cancelled.set()
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError:
                    continue
            if not task.cancelled():
                task.exception()
            raise

    async def _run(self, command: Command) -> ExecResult:
        output = Demultiplexer(command.max_output_bytes)
        async with self._gate:
            if self._closed:
                raise SandboxUnavailableError("the sandbox is closed")
            began = time.monotonic()
            disk, stream = await in_thread(self._executor, self._start, command)
            self._running[command.mark] = command
        try:
            bounds = Bounds(
                remaining_s=lambda: command.began + command.timeout_s - self._clock.now(),
                watch=disk,
                cancelled=command.cancelled,
                max_output_bytes=command.max_output_bytes,
            )

            def running() -> bool:
                return self._container.exec_running(command.exec_id)

            moving = (
                partial(stream.pump, command.stdin, output, bounds, running)
                if command.channel is None
                else partial(stream.relay, command.channel, output, bounds, running)
            )
            stop = await in_thread(self._executor, moving)
        finally:
            if command.channel is not None:
                command.channel.close()
            async with self._gate:
                del self._running[command.mark]
                finished = await in_thread(self._executor, self._finish, command, stream)
        end, code, evidence = await in_thread(
            self._executor, self._judge, command, stop, disk, finished
        )
        return ExecResult(
            end,
            code,
            bytes(output.stdout),
            bytes(output.stderr),
            time.monotonic() - began,
            evidence,
        )

    def _start(self, command: Command) -> tuple[DiskWatch, ExecStream]:
        disk = DiskWatch(self._folders, self._limits)
        command.before = self._container.counters()
        guard = f"{command.timeout_s + _GUARD_SLACK_S:.0f}"
        command.exec_id = self._container.exec_create(
            ["timeout", "-s", "KILL", guard, *command.argv],
            env={**command.env, _MARK: command.mark},
            cwd=command.cwd,
            stdin=bool(command.stdin) or command.channel is not None,
        )
        command.began = self._clock.now()
        return disk, self._container.exec_start(command.exec_id)

    def _finish(self, command: Command, stream: ExecStream) -> tuple[int | None, Counters]:
        """End what the command left; its exit code (None: ended by force) and the totals after."""
        stream.close()
        if self._closed:
            raise SandboxUnavailableError("the sandbox was closed while a command ran")
        code = self._container.exit_code(command.exec_id)
        if self._running:
            self._container.kill_marked(f"{_MARK}={command.mark}")
        else:
            self._container.sweep()
        return code, self._container.counters()

    def _judge(
        self,
        command: Command,
        stop: Stop | None,
        disk: DiskWatch,
        finished: tuple[int | None, Counters],
    ) -> tuple[ExecEnd, int, str]:
        """How it ended, by what was observed.

        Totals are the container's: commands that ran side by side share them.
        """
        code, after = finished
        stop = stop or disk(now=True)
        killed = after.oom_kills - command.before.oom_kills
        refused = after.forks_refused - command.before.forks_refused
        if code in (None, _EXIT_KILLED) and not killed:
            self._container.require_running()
        code = _EXIT_KILLED if code is None else code
        if killed > 0:
            return ExecEnd.OUT_OF_MEMORY, code, f"the kernel ended {killed} processes for memory"
        if stop is not None and stop[0] is not ExecEnd.TIMEOUT:
            return stop[0], code, stop[1]
        if refused > 0 and (code != 0 or stop is not None):
            return ExecEnd.PIDS, code, f"{refused} forks refused, limit {self._limits.pids}"
        if stop is not None:
            return stop[0], code, stop[1]
        return ExecEnd.EXITED, code, ""

    async def read_file(self, path: str, *, max_bytes: int = 100 * MIB) -> bytes:
        if self._host_workdir is None:
            return await read_by_command(self, path, max_bytes)
        return await in_thread(
            self._executor, files.read_beneath, self._host_workdir, path, max_bytes
        )

    async def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        if self._host_workdir is None:
            await write_by_command(self, path, data, executable=executable)
            return
        await in_thread(
            self._executor,
            files.write_beneath,
            self._host_workdir,
            path,
            data,
            executable=executable,
            owner=self._owner,
        )

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[None]:
        """As `Sandbox.frozen`; deadlines of running commands are put off meanwhile."""
        async with self._gate:
            if self._closed:
                raise SandboxUnavailableError("the sandbox is closed")
            started = [command.exec_id for command in self._running.values()]
            try:
                self._clock.stop()
                await in_thread(self._executor, self._container.pause, started)
                yield
            finally:
                try:
                    await in_thread(self._executor, self._container.unpause)
                finally:
                    self._clock.go_on()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._remove()
