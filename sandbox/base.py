"""What every sandbox promises.

A backend is a `SandboxProvider`; it passes `harness.testing.sandbox.SandboxContract`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

MIB = 1024 * 1024

Purpose = Literal["agent", "produce", "judge"]
ProviderName = Literal["docker", "bubblewrap", "process"]


class Limits(BaseModel):
    """Bounds of one sandbox. A limit a provider cannot enforce is named by its `describe()`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: float = Field(default=1.0, gt=0)
    """CPU cores."""
    memory_bytes: int = Field(default=2048 * MIB, ge=16 * MIB)
    """Memory of all processes together, swap included."""
    pids: int = Field(default=256, ge=8)
    """Processes and threads alive at once."""
    disk_bytes: int = Field(default=2048 * MIB, ge=MIB)
    """Bytes in the writable folders."""
    inodes: int = Field(default=50_000, ge=100)
    """Files and folders in the writable folders."""
    file_bytes: int = Field(default=512 * MIB, ge=MIB)
    """Size of one file."""
    scratch_bytes: int = Field(default=512 * MIB, ge=MIB)
    """Bytes in `/tmp`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A host folder seen inside at `target` (absolute). The sandbox's uid owns writable ones."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What a sandbox is made of.

    Nothing is inherited: the environment is `env` plus what the provider needs (PATH, HOME, USER,
    LANG, TMPDIR, git identity), the network is off unless `network` says otherwise. `python` names
    a virtual environment on the host whose interpreter `python` and `python3` are (providers that
    run on the host's file system; ignored by docker, whose image decides); None is the harness's
    own.
    """

    purpose: Purpose
    mounts: tuple[Mount, ...]
    workdir: str = "/work"
    limits: Limits = field(default_factory=Limits)
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """`harness.run`, `harness.agent`, `harness.attempt`: what `harness clean` goes by."""
    network: Literal["none", "host"] = "none"
    gpus: tuple[str, ...] = ()
    image: str | None = None
    python: Path | None = None


class Guarantee(StrEnum):
    """The words of `Capabilities`: what a provider may or may not be able to enforce."""

    NETWORK = "network"
    """Nothing is reachable when the spec says `network="none"`."""
    HOST_FILES = "host files"
    """Neither the user's files nor another sandbox's mounts can be read."""
    READ_ONLY = "read-only mounts"
    USER = "separate user"
    """Commands run under a uid that is not the harness's, or in a user namespace."""
    PROCESSES = "other processes"
    """Processes outside can be neither seen nor signalled."""
    SYSTEM_CALLS = "system calls"
    """Those that programs do without and kernels had holes in are refused (`seccomp.py`)."""
    CPUS = "cpus"
    MEMORY = "memory"
    PIDS = "pids"
    DISK = "disk"
    INODES = "inodes"
    FILE_SIZE = "file size"
    SCRATCH = "scratch size"


class ExecEnd(StrEnum):
    """Why a command ended, by what the harness observed, not by its exit code alone."""

    EXITED = "exited"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    PIDS = "pids"
    DISK = "disk"
    OUTPUT_LIMIT = "output_limit"


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended.

    `exit_code` is negative for a signal (-9: SIGKILL) and meaningful only when `end` is `exited`.
    `evidence` says what was observed when `end` is anything else.
    """

    end: ExecEnd
    exit_code: int
    stdout: bytes
    stderr: bytes
    duration_s: float
    evidence: str = ""

    @property
    def ok(self) -> bool:
        return self.end is ExecEnd.EXITED and self.exit_code == 0

    def text(self) -> str:
        """Standard output and error as one UTF-8 text, undecodable bytes escaped."""
        return (self.stdout + self.stderr).decode("utf-8", "backslashreplace")


class CommandStream(Protocol):
    """A running command that is written to and read from piece by piece.

    Used by one reader and one writer at a time. Neither side is buffered without bounds: whoever
    does not read makes the other one wait.
    """

    async def read(self, limit: int = 65_536) -> bytes:
        """The next bytes of its standard output, at most `limit`; empty after the last."""
        ...

    async def write(self, data: bytes) -> None:
        """Feed its standard input; waits while the command does not read.

        Raises:
            ConnectionError: The command reads no more.
        """
        ...

    async def result(self) -> ExecResult:
        """How it ended, as of `exec`, without standard output; waits for it.

        Raises:
            SandboxUnavailableError: When the sandbox, not the command, failed.
        """
        ...


class Sandbox(Protocol):
    """One isolated place to run commands.

    **Concurrency**: methods may be called from several tasks of one event loop; `exec` calls run
    side by side. **Cleanliness**: when `exec` returns, everything the command started is gone.
    **Limits**: output is streamed with a cap, so the caller's memory is bounded.
    """

    @property
    def workdir(self) -> str:
        """The working directory as commands see it."""
        ...

    def path(self, target: str) -> str:
        """Where commands see the mount `target`: itself, or a host path where nothing is mounted.

        Raises:
            KeyError: When no mount has that target.
        """
        ...

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
        """Run a command to its end; at `timeout_s` its whole process tree is killed.

        `max_output_bytes` bounds standard output and error together; beyond it the command is
        killed. `cwd` is relative to the working directory. An unknown program is exit code 127.

        Raises:
            SandboxUnavailableError: When the sandbox, not the command, failed.
        """
        ...

    def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> AbstractAsyncContextManager[CommandStream]:
        """Run a command that is talked to while it runs; leaving the block ends it.

        Limits are those of `exec`; its standard error may be 1 MiB long. Other commands run beside
        it.

        Raises:
            SandboxUnavailableError: When the sandbox, not the command, failed.
        """
        ...

    async def read_file(self, path: str, *, max_bytes: int = 100 * MIB) -> bytes:
        """The content of a regular file, `path` relative to the working directory.

        No component may be a link.

        Raises:
            FileNotFoundError: No such file.
            PermissionError: Outside the working directory, through a link, or not a regular file.
            OverflowError: Larger than `max_bytes`.
            SandboxUnavailableError: When the sandbox failed.
        """
        ...

    async def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """Create or replace a file below the working directory, parents included.

        Raises:
            PermissionError: Outside the working directory or through a link.
            SandboxUnavailableError: When the sandbox failed.
        """
        ...

    def frozen(self) -> AbstractAsyncContextManager[None]:
        """While held, no process of the sandbox runs: its files can be read from outside.

        Commands that run stand still and go on afterwards; their seconds are not counted meanwhile.
        """
        ...

    async def close(self) -> None:
        """End everything and remove what the provider made. May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider enforces here: for `doctor` and for the line printed at launch."""

    name: ProviderName | str
    isolates_model_code: bool
    """Whether code that a model wrote may run without `--unsafe`."""
    enforced: tuple[Guarantee, ...]
    not_enforced: tuple[Guarantee, ...]
    detail: str
    warnings: tuple[str, ...] = ()
    """What is known to be wrong with it here, a line each."""


class SandboxProvider(Protocol):
    """Makes sandboxes of one kind.

    **Ownership**: whoever calls `create` closes the sandbox; `reap` removes what dead runs left.
    """

    @property
    def owner(self) -> tuple[int, int] | None:
        """uid and gid that own the files of agents' workspaces; None: the harness's own.

        Other sandboxes may have a uid of their own; `create` gives it their writable mounts.
        """
        ...

    @property
    def shares_files(self) -> bool:
        """Whether mounts are the host's own folders, at once in both directions.

        Otherwise they are copied in at `create`, and trees go in and out as streams over `exec`.
        """
        ...

    async def describe(self) -> Capabilities:
        """What is enforced on this machine.

        Raises:
            SandboxUnavailableError: When the provider does not work here; says what to install.
        """
        ...

    async def answers(self) -> bool:
        """Whether sandboxes can be made at all: what there is to wait for when one failed."""
        ...

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Start a sandbox. Sources of writable mounts are given to its uid.

        Raises:
            SandboxUnavailableError: When it cannot be started.
        """
        ...

    async def reap(self, run: str | None = None) -> int:
        """Remove leftovers of runs that are dead, or of `run`; returns how many.

        Never touches anything without the labels of this package.
        """
        ...

    async def close(self) -> None:
        """Release what the provider holds (connections, thread pools)."""
        ...
