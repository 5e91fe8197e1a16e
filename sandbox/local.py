"""A sandbox made of processes of this machine, shared by the providers that need no daemon."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import MIB, CommandStream, ExecResult, Guarantee, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.files import (
    Owner,
    give_to,
    make_folders_beneath,
    read_beneath,
    remove_tree,
    write_beneath,
)
from harness.sandbox.launch import Execution
from harness.sandbox.layout import (
    USER_NAME,
    Layout,
    PrivateFolders,
    environment,
    mounts_of,
)
from harness.sandbox.liveness import identity, is_dead
from harness.sandbox.seccomp import filter_program
from harness.sandbox.shim.request import Request, Watched
from harness.sandbox.stream import streaming
from harness.sandbox.uids import agent_owner

PREFIX = "harness-sandbox-"
_OWNER_FILE = "owner.json"
_UNOWNED_S = 60.0
"""A private folder has no owner's record only while it is made or removed, which takes a moment."""

Prepare = Callable[[Sequence[str], dict[str, str], str, float], Request]
"""Makes the shim's request from words, environment, working directory and seconds."""
Arrange = Callable[[SandboxSpec, PrivateFolders], tuple[Layout, Prepare]]
"""Decides what commands of a sandbox see and how they are started."""

WATCHED: tuple[Guarantee, ...] = (
    Guarantee.MEMORY,
    Guarantee.PIDS,
    Guarantee.DISK,
    Guarantee.INODES,
    Guarantee.FILE_SIZE,
    Guarantee.SCRATCH,
)
"""What the shim enforces wherever it runs."""


class LocalSandbox:
    """Implements `Sandbox`: each `exec` is a fresh process tree under the shim."""

    def __init__(
        self,
        spec: SandboxSpec,
        layout: Layout,
        private: PrivateFolders,
        owner: Owner | None,
        prepare: Prepare,
        executor: Executor,
    ) -> None:
        self._layout = layout
        self._private = private
        self._owner = owner
        self._prepare = prepare
        self._executor = executor
        self._environment = environment(spec, layout, spec.limits)
        self._executions: set[Execution] = set()
        self._freezing = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._frozen = False
        self._closed = False

    @property
    def workdir(self) -> str:
        return self._layout.workdir

    def path(self, target: str) -> str:
        return self._layout.targets[target]

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
        execution = await self._begin(argv, timeout_s, stdin, env, cwd, max_output_bytes)
        return await self._collect(execution)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> AsyncGenerator[CommandStream]:
        execution = await self._begin(argv, timeout_s, None, env, cwd, MIB)
        assert execution.channel is not None
        async with streaming(execution.channel, self._collect(execution)) as stream:
            yield stream

    async def _begin(
        self,
        argv: Sequence[str],
        timeout_s: float,
        stdin: bytes | None,
        env: Mapping[str, str] | None,
        cwd: str | None,
        max_output_bytes: int,
    ) -> Execution:
        """Start a command, once nothing is frozen."""
        folder = self.workdir if cwd is None else f"{self.workdir}/{cwd}"
        variables = {**self._environment, **(env or {})}
        async with self._changed:
            await self._changed.wait_for(lambda: not self._frozen)
            if self._closed:
                raise SandboxUnavailableError("the sandbox is closed")
            self._make_points()
            request = self._prepare(argv, variables, folder, timeout_s)
            execution = Execution(request, stdin, max_output_bytes)
            self._executions.add(execution)
            return execution

    async def _collect(self, execution: Execution) -> ExecResult:
        try:
            return await execution.result()
        finally:
            self._executions.discard(execution)
            async with self._changed:
                self._changed.notify_all()

    def _make_points(self) -> None:
        # Before each command, because those before it may have removed or replaced them.
        try:
            for folder, relative in self._layout.points:
                make_folders_beneath(folder, relative)
        except OSError as error:
            raise SandboxUnavailableError(f"cannot make a place to mount on: {error}") from error

    async def read_file(self, path: str, *, max_bytes: int = 100 * MIB) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, read_beneath, self._layout.folder, path, max_bytes
        )

    async def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        if not self._layout.writable:
            raise PermissionError(f"the working directory is read-only: {path!r}")

        def write() -> None:
            folder = self._layout.folder
            write_beneath(folder, path, data, executable=executable, owner=self._owner)

        await asyncio.get_running_loop().run_in_executor(self._executor, write)

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncGenerator[None]:
        """As `Sandbox.frozen`; seconds of running commands are not counted meanwhile."""
        async with self._freezing:
            async with self._changed:
                self._frozen = True
                running = list(self._executions)
            try:
                await asyncio.gather(*(execution.stop() for execution in running))
                yield
            finally:
                self._frozen = False
                for execution in running:
                    execution.go_on()
                async with self._changed:
                    self._changed.notify_all()

    async def close(self) -> None:
        self._closed = True
        for execution in self._executions:
            execution.abort()
        async with self._changed:
            self._changed.notify_all()
            await self._changed.wait_for(lambda: not self._executions)
        await asyncio.get_running_loop().run_in_executor(
            self._executor, remove_tree, self._private.root
        )


class LocalProvider:
    """What the local implementations of `SandboxProvider` have in common."""

    def __init__(self, config: SandboxConfig, executor: Executor) -> None:
        self._config = config
        self._executor = executor
        self._live: set[Path] = set()
        """Private folders of this provider's sandboxes, which `reap` leaves alone."""
        self._filter = b""
        if config.seccomp == "harness" and sys.platform == "linux":
            self._filter = filter_program() or b""

    @property
    def _guarantees(self) -> tuple[Guarantee, ...]:
        """What holds for every arrangement."""
        return (*WATCHED, *([Guarantee.SYSTEM_CALLS] if self._filter else []))

    @property
    def owner(self) -> Owner | None:
        return agent_owner()

    @property
    def shares_files(self) -> bool:
        return True

    async def _open(self, arrange: Arrange, spec: SandboxSpec, owner: Owner | None) -> LocalSandbox:
        def build() -> LocalSandbox:
            private = make_private(spec, owner)
            try:
                layout, prepare = arrange(spec, private)
            except BaseException:
                remove_tree(private.root)
                raise
            self._live.add(private.root)
            guarded = partial(_guarded, prepare, self._filter)
            return LocalSandbox(spec, layout, private, owner, guarded, self._executor)

        return await asyncio.get_running_loop().run_in_executor(self._executor, build)

    async def _works(self, arrange: Arrange) -> str:
        """Why sandboxes of this arrangement do not work here; empty when they do."""
        spec = SandboxSpec(purpose="judge", mounts=())
        sandbox = await self._open(arrange, spec, self.owner)
        try:
            result = await sandbox.exec(["python3", "-c", ""], timeout_s=60)
        except SandboxUnavailableError as error:
            return str(error)
        finally:
            await sandbox.close()
        return "" if result.ok else f"python3 does not run: {result.text().strip()[-500:]}"

    async def answers(self) -> bool:
        """Always: there is no daemon."""
        return True

    async def reap(self, run: str | None = None) -> int:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, reap_private, run, frozenset(self._live)
        )

    async def close(self) -> None:
        """Nothing is held."""


def make_private(spec: SandboxSpec, owner: Owner | None) -> PrivateFolders:
    """Create the sandbox's own folders and give the writable mounts to `owner`.

    Raises:
        SandboxUnavailableError: A mount's source is missing, or the disk refuses.
    """
    try:
        private = PrivateFolders(Path(tempfile.mkdtemp(prefix=PREFIX)).resolve(), owner)
    except OSError as error:
        raise SandboxUnavailableError(f"cannot make a temporary folder: {error}") from error
    try:
        _fill(private, spec, owner)
    except OSError as error:
        remove_tree(private.root)
        raise SandboxUnavailableError(f"cannot prepare a sandbox: {error}") from error
    return private


def _fill(private: PrivateFolders, spec: SandboxSpec, owner: Owner | None) -> None:
    record = {"owner": identity(), "run": spec.labels.get("harness.run")}
    (private.root / _OWNER_FILE).write_text(json.dumps(record), encoding="utf-8")
    for folder in (private.home, private.tmp, private.work):
        folder.mkdir(mode=0o700)
    private.view.mkdir()
    uid, gid = owner or (os.getuid(), os.getgid())
    users = f"root:x:0:0:root:/:/bin/sh\n{USER_NAME}:x:{uid}:{gid}::/home/{USER_NAME}:/bin/sh\n"
    groups = f"root:x:0:\n{USER_NAME}:x:{gid}:\n"
    for path, text in ((private.passwd, users), (private.group, groups)):
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    mounts = mounts_of(spec, private)
    if owner is not None:
        # Passed through by the agent's uid, but not listed.
        private.root.chmod(0o711)
        writable = (mount.source for mount in mounts if not mount.read_only)
        for folder in (private.home, private.tmp, private.work, *writable):
            give_to(folder, owner)
    for mount in mounts:
        mount.source.stat()


def _guarded(
    prepare: Prepare,
    program: bytes,
    argv: Sequence[str],
    env: dict[str, str],
    cwd: str,
    timeout_s: float,
) -> Request:
    request = prepare(argv, env, cwd, timeout_s)
    request["filter"] = program
    return request


def make_request(
    spec: SandboxSpec,
    private: PrivateFolders,
    argv: Sequence[str],
    env: dict[str, str],
    cwd: str,
    timeout_s: float,
) -> Request:
    """A request to the shim with the limits of `spec`, and no isolation."""
    return {
        "argv": list(argv),
        "env": env,
        "cwd": cwd,
        "timeout_s": timeout_s,
        "uid": None,
        "gid": None,
        "view": None,
        "options": None,
        "filter": b"",
        "memory_bytes": spec.limits.memory_bytes,
        "pids": spec.limits.pids,
        "file_bytes": spec.limits.file_bytes,
        "watched": _watched(spec, private),
    }


def _watched(spec: SandboxSpec, private: PrivateFolders) -> list[Watched]:
    limits = spec.limits
    writable = [str(mount.source) for mount in mounts_of(spec, private) if not mount.read_only]
    return [
        {
            "label": "the writable folders",
            "folders": writable,
            "max_bytes": limits.disk_bytes,
            "max_inodes": limits.inodes,
        },
        {
            "label": "the scratch folders",
            "folders": [str(private.home), str(private.tmp)],
            "max_bytes": limits.scratch_bytes,
            "max_inodes": limits.inodes,
        },
    ]


def reap_private(run: str | None, mine: frozenset[Path]) -> int:
    """Remove folders of dead processes, or of `run`; returns how many."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if folder in mine or folder.is_symlink() or folder.lstat().st_uid != os.getuid():
                continue
            if _is_left(folder, run):
                remove_tree(folder)
                removed += 1
        except OSError:
            continue  # removed by its owner meanwhile
    return removed


def _is_left(folder: Path, run: str | None) -> bool:
    try:
        record = json.loads((folder / _OWNER_FILE).read_text(encoding="utf-8"))
        owner, label = record["owner"], record["run"]
    except (OSError, ValueError, TypeError, KeyError):
        # Its owner was killed as it made or removed it, unless it is at that now.
        return run is None and time.time() - folder.stat().st_mtime > _UNOWNED_S
    return is_dead(owner) if run is None else label == run
