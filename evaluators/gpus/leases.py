"""Leases of GPUs, shared by all runs and all users of a host.

A lease is a file that its owner holds a lock on (`flock`): the kernel drops the lock when the owner
ends, however it ends, so a lease whose file is not locked is stale and is taken away by whoever
looks next. Its text says who the owner is; its time of change is a heartbeat, for people.
"""

import asyncio
import contextlib
import fcntl
import json
import math
import os
import time
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from harness.errors import ConfigurationError
from harness.evaluators.gpus.discovery import Discover, Gpu, GpuQueryError

DEFAULT_FOLDER = Path("/tmp/harness-leases")
HEARTBEAT_S = 10.0
POLL_S = 0.25
IDLE_BYTES = 1024**3
"""A GPU nobody has a lease on is free while less memory than this is used on it."""
RELEASE_S = 10.0
"""How long the driver may take to give back a candidate's memory."""
EVERYBODY = 0o1777


@dataclass(frozen=True, slots=True)
class Lease:
    """Who has which share of a GPU, since when (epoch seconds)."""

    gpu: str
    share: float
    run: str
    pid: int
    since: float


class _Held:
    """A lease of this process: the locked file."""

    def __init__(self, path: Path, lease: Lease) -> None:
        self.path = path
        self.lease = lease
        self._fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(self._fd, 0o666)
            os.write(self._fd, json.dumps(asdict(lease)).encode())
        except BaseException:
            self.release()
            raise

    def beat(self) -> None:
        os.utime(self._fd)

    def release(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._fd)


class GpuLeases:
    """The GPUs of this host as one run leases them. Belongs to one event loop.

    Args:
        discover: Asks for the GPUs.
        run: For people who look who has a GPU.
        folder: Where all runs of the host put their leases.
    """

    def __init__(self, discover: Discover, *, run: str = "", folder: Path = DEFAULT_FOLDER) -> None:
        self._discover = discover
        self._run = run
        self._folder = folder

    @asynccontextmanager
    async def lease(self, amount: float) -> AsyncGenerator[tuple[str, ...]]:
        """`amount` GPUs (whole ones, or a share of one), as UUIDs; waits until they are free.

        A whole GPU is given out only while hardly any of its memory is used, and the lease ends
        only when the driver has given back what was used under it, or after `RELEASE_S`.
        """
        if not amount:
            yield ()
            return
        while not (held := await asyncio.to_thread(self._try, amount)):
            await asyncio.sleep(POLL_S)
        beating = asyncio.create_task(_beat(held))
        try:
            yield tuple(each.lease.gpu for each in held)
        finally:
            beating.cancel()
            try:
                if amount >= 1:
                    await self._given_back([each.lease.gpu for each in held])
            finally:
                for each in held:
                    each.release()

    def leases(self) -> list[Lease]:
        """Who has what now, as far as files tell; stale ones are left out."""
        return [lease for gpu in self._discover() for lease in self._active(gpu.uuid)]

    def _try(self, amount: float) -> list[_Held]:
        """The leases, or none at all: whoever holds some and waits for more could wait for ever."""
        try:
            gpus = self._discover()
        except GpuQueryError:
            return []  # a driver that is busy answers later; one that is gone ended the run before
        count, share = (math.floor(amount), 1.0) if amount >= 1 else (1, amount)
        held: list[_Held] = []
        with self._guard():
            # Shares on GPUs that others share already, so that whole ones stay free.
            for gpu in sorted(gpus, key=lambda gpu: -self._used_share(gpu.uuid)):
                used = self._used_share(gpu.uuid)
                busy = not used and gpu.used_bytes > IDLE_BYTES
                if used + share > 1.0 + 1e-9 or busy:
                    continue
                lease = Lease(gpu.uuid, share, self._run, os.getpid(), time.time())
                held.append(_Held(self._folder / f"{gpu.uuid}.{uuid4().hex}.lease", lease))
                if len(held) == count:
                    return held
            for each in held:
                each.release()
        return []

    def _used_share(self, gpu: str) -> float:
        return sum(lease.share for lease in self._active(gpu))

    def _active(self, gpu: str) -> Iterator[Lease]:
        for path in self._folder.glob(f"{gpu}.*.lease"):
            try:
                with path.open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()  # its owner is gone
            except BlockingIOError:
                yield _read(path, gpu)
            except FileNotFoundError:
                continue

    @contextlib.contextmanager
    def _guard(self) -> Generator[None]:
        """One process at a time looks and takes."""
        make_folder(self._folder)
        with locked(self._folder / "guard", fcntl.LOCK_EX):
            yield

    async def _given_back(self, gpus: Sequence[str]) -> None:
        deadline = time.monotonic() + RELEASE_S
        while time.monotonic() < deadline:
            try:
                found = list(await asyncio.to_thread(self._discover))
            except GpuQueryError:
                found = list[Gpu]()
            if all(gpu.used_bytes <= IDLE_BYTES for gpu in found if gpu.uuid in gpus):
                return
            await asyncio.sleep(POLL_S)


async def _beat(held: Sequence[_Held]) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        for each in held:
            each.beat()


def _read(path: Path, gpu: str) -> Lease:
    try:
        return Lease(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Lease(gpu, 1.0, "?", 0, 0.0)  # being written


def make_folder(folder: Path) -> None:
    """Make the folder for leases: every user of the host may add files, none remove others'.

    Raises:
        ConfigurationError: It cannot be made.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(EVERYBODY)
    except OSError as error:
        raise ConfigurationError(
            f"the folder for leases, {folder}, cannot be made: {error.strerror}",
            expected="a folder on this host that all its users may write",
            action="name another one as evaluators.lease_dir",
        ) from error


@contextlib.contextmanager
def locked(path: Path, kind: int) -> Generator[None]:
    """Hold a lock on the file `path`, which is made; waits for it."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


def require(gpus: Sequence[Gpu], amount: float, task: str) -> None:
    """Refuse a task that wants more GPUs than there are.

    Raises:
        ConfigurationError: Says how many there are.
    """
    if amount <= len(gpus):
        return
    there = f"there are {len(gpus)}: {', '.join(gpu.name for gpu in gpus)}" if gpus else "none here"
    raise ConfigurationError(
        f"task {task!r} wants {amount:g} GPU{'s' * (amount > 1)} for each evaluation; {there}",
        expected="as many NVIDIA GPUs as limits.gpus says, with a driver that answers",
        action="run it on a machine that has them; `harness doctor` shows what is found",
    )
