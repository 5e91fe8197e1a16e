"""Where candidates run: a fresh sandbox and a fresh folder for each."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from harness.errors import SandboxUnavailableError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.data import data_mounts
from harness.evaluators.judge_files import JudgeFiles
from harness.sandbox.base import ExecResult, Mount, Sandbox, SandboxSpec
from harness.sandbox.files import give_to
from harness.sandbox.placing import clear

WORK = "/work"


@dataclass(slots=True)
class _Place:
    folder: Path
    sandbox: Sandbox | None = None


class Places:
    """Makes sandboxes for candidates, each with a fresh folder below `scratch`.

    The folder is all that a sandbox is given, but for `files` of an evaluator that runs candidates
    itself. It holds the submission, and `beside` where that is named (contents by file name).
    Sandboxes end and folders go in the background; `close` waits for that.

    Where the context says so, some are started ahead, with an empty folder that the next submission
    is written into. Each is used once.
    """

    def __init__(
        self,
        context: EvaluatorContext,
        max_output_bytes: int,
        beside: Mapping[str, bytes] | None = None,
        files: JudgeFiles | None = None,
    ) -> None:
        self._provider = context.provider
        self._scratch = context.scratch
        self._executor = context.executor
        self._max_output_bytes = max_output_bytes
        self._beside = beside or {}
        self._files = files
        self._spec = SandboxSpec(
            purpose="produce",
            mounts=(),
            workdir=WORK,
            limits=context.candidate_limits,
            labels=context.labels,
            image=context.image,
            python=context.python,
        )
        self._data = data_mounts(context.task)
        self._prestart = context.prestart
        self._ready: deque[_Place] = deque()
        self._starting = 0
        self._background: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self, job: EvaluationJob) -> AsyncGenerator[Sandbox]:
        """A fresh sandbox with the submission; it is discarded in the background.

        Raises:
            SandboxUnavailableError: It cannot be had.
        """
        place = self._take(job)
        try:
            await self._write(job, place)
            if place.sandbox is None:
                await self._start(place, job.labels, job.gpus)
            self._refill()
            assert place.sandbox is not None
            yield place.sandbox
        except SandboxUnavailableError:
            # Those that were started before may be gone as well, with a daemon for instance.
            while self._ready:
                self._in_background(self._discard(self._ready.popleft()))
            raise
        finally:
            self._in_background(self._discard(place))

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command on the submission, where and as candidates run.

        Raises:
            SandboxUnavailableError: The sandbox, not the command, failed.
        """
        async with self.open(job) as sandbox:
            return await sandbox.exec(
                argv, timeout_s=timeout_s, max_output_bytes=self._max_output_bytes
            )

    async def close(self) -> None:
        """Wait until everything that ran is gone. May be called twice."""
        while self._background or self._ready:
            while self._ready:
                self._in_background(self._discard(self._ready.popleft()))
            await asyncio.gather(*self._background)

    def _take(self, job: EvaluationJob) -> _Place:
        """One that was started ahead, or a new one that is still to be started."""
        if self._ready and not job.gpus:
            return self._ready.popleft()
        return _Place(self._scratch / f"produce-{uuid4().hex}")

    async def _start(
        self, place: _Place, labels: Mapping[str, str], gpus: tuple[str, ...] = ()
    ) -> None:
        more = () if self._files is None else await self._files.mounts()
        place.sandbox = await self._provider.create(
            replace(
                self._spec,
                mounts=(Mount(place.folder, WORK, read_only=False), *more, *self._data),
                labels={**self._spec.labels, **labels},
                gpus=gpus,
            )
        )

    def _refill(self) -> None:
        # Where files go in as the sandbox starts, none can be started without them.
        if not self._provider.shares_files:
            return
        for _ in range(self._prestart - len(self._ready) - self._starting):
            self._starting += 1
            self._in_background(self._start_ahead())

    async def _start_ahead(self) -> None:
        place = _Place(self._scratch / f"produce-{uuid4().hex}")
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, place.folder.mkdir)
            await self._start(place, {})
        except (SandboxUnavailableError, OSError):
            await self._discard(place)  # whoever needs one will see why
        else:
            self._ready.append(place)
        finally:
            self._starting -= 1

    async def _write(self, job: EvaluationJob, place: _Place) -> None:
        def write() -> None:
            folder = place.folder
            job.submission.write_to(folder)
            for name, data in self._beside.items():
                # In place of a file of the submission's; a folder of that name is its own affair.
                if not (path := folder / name).is_dir():
                    path.write_bytes(data)
                    path.chmod(0o644)
            if place.sandbox is not None:  # its folder was given to its user when it was empty
                status = folder.stat()
                give_to(folder, (status.st_uid, status.st_gid))

        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, write)
        except OSError as error:
            raise SandboxUnavailableError(f"the submission cannot be written: {error}") from error

    async def _discard(self, place: _Place) -> None:
        try:
            if place.sandbox is not None:
                await place.sandbox.close()
        except SandboxUnavailableError:
            pass  # it is gone already, which is all that was wanted
        finally:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._executor, remove_folder, place.folder)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def remove_folder(folder: Path) -> None:
    """Remove a folder that a candidate filled, as far as that is possible."""
    try:
        clear(folder)
        folder.rmdir()
    except OSError:
        # Leftovers of another user's (a container's) cost disk only; the next start clears them.
        return
