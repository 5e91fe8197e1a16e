"""Where candidates run: a fresh sandbox and a fresh folder for each."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from harness.errors import SandboxUnavailableError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.judge_files import JudgeFiles
from harness.sandbox.base import ExecResult, Mount, Sandbox, SandboxSpec
from harness.sandbox.placing import clear

WORK = "/work"


class Places:
    """Makes sandboxes for candidates, each with a fresh folder below `scratch`.

    The folder is all that a sandbox is given, but for `files` of an evaluator that runs candidates
    itself. It holds the submission, and `beside` where that is named (contents by file name).
    Sandboxes end and folders go in the background; `close` waits for that.
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
            image=context.task.file.environment.image,
            python=context.python,
        )
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self, job: EvaluationJob) -> AsyncGenerator[Sandbox]:
        """A fresh sandbox with the submission; it is discarded in the background.

        Raises:
            SandboxUnavailableError: It cannot be had.
        """
        folder = self._scratch / f"produce-{uuid4().hex}"
        sandbox: Sandbox | None = None
        try:
            await self._write(job, folder)
            more = () if self._files is None else await self._files.mounts()
            sandbox = await self._provider.create(
                replace(
                    self._spec,
                    mounts=(Mount(folder, WORK, read_only=False), *more),
                    labels={**self._spec.labels, **job.labels},
                    gpus=job.gpus,
                )
            )
            yield sandbox
        finally:
            leaving = asyncio.get_running_loop().create_task(self._discard(sandbox, folder))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

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
        """Wait until everything that ran is gone."""
        await asyncio.gather(*self._leaving)

    async def _write(self, job: EvaluationJob, folder: Path) -> None:
        def write() -> None:
            job.submission.write_to(folder)
            for name, data in self._beside.items():
                # In place of a file of the submission's; a folder of that name is its own affair.
                if not (path := folder / name).is_dir():
                    path.write_bytes(data)
                    path.chmod(0o644)

        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, write)
        except OSError as error:
            raise SandboxUnavailableError(f"the submission cannot be written: {error}") from error

    async def _discard(self, sandbox: Sandbox | None, folder: Path) -> None:
        try:
            if sandbox is not None:
                await sandbox.close()
        except SandboxUnavailableError:
            pass  # it is gone already, which is all that was wanted
        finally:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._executor, remove_folder, folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder that a candidate filled, as far as that is possible."""
    try:
        clear(folder)
        folder.rmdir()
    except OSError:
        # Leftovers of another user's (a container's) cost disk only; the next start clears them.
        return
