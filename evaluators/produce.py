"""The first phase: the candidate's command, alone with its submission in a sandbox of its own."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from harness.attempt import Status
from harness.errors import SandboxUnavailableError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.text import clean_tail
from harness.sandbox.base import (
    ExecEnd,
    ExecResult,
    Mount,
    Sandbox,
    SandboxSpec,
)
from harness.sandbox.placing import clear
from harness.tasks.evaluation import AnswerSpec

WORK = "/work"
DETAIL_BYTES = 2048
STATUS_OF_END = {
    ExecEnd.TIMEOUT: Status.TIMEOUT,
    ExecEnd.OUT_OF_MEMORY: Status.OUT_OF_MEMORY,
    ExecEnd.PIDS: Status.PIDS,
    ExecEnd.DISK: Status.DISK,
    ExecEnd.OUTPUT_LIMIT: Status.OUTPUT_LIMIT,
}


@dataclass(frozen=True, slots=True)
class Produced:
    """What the candidate left. `status` is None when the outputs are there to be judged."""

    status: Status | None
    outputs: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    feedback: str = ""
    detail: str = ""
    """End of what the command printed."""


class Producer:
    """Runs candidates, each in a fresh sandbox and a fresh folder below `scratch`.

    The folder is all that a sandbox is given. Sandboxes end and folders go in the background;
    `close` waits for that.
    """

    def __init__(self, context: EvaluatorContext, spec: AnswerSpec) -> None:
        self._spec = spec
        self._provider = context.provider
        self._scratch = context.scratch
        self._executor = context.executor
        self._sandbox_spec = SandboxSpec(
            purpose="produce",
            mounts=(),
            workdir=WORK,
            limits=context.candidate_limits,
            labels=context.labels,
            image=context.task.file.environment.image,
            python=context.python,
        )
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self, job: EvaluationJob) -> Produced:
        """Run the submission's command and collect its outputs.

        Raises:
            SandboxUnavailableError: The sandbox, not the candidate, failed.
        """
        async with self._place(job) as sandbox:
            ended = await sandbox.exec(
                self._spec.produce,
                timeout_s=self._spec.timeout_s,
                max_output_bytes=self._spec.max_output_bytes,
            )
            if not ended.ok:
                return _failed(ended)
            return await self._collect(sandbox, ended)

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run another command on the submission, where and as candidates run.

        Raises:
            SandboxUnavailableError: The sandbox, not the command, failed.
        """
        async with self._place(job) as sandbox:
            return await sandbox.exec(
                argv, timeout_s=timeout_s, max_output_bytes=self._spec.max_output_bytes
            )

    @asynccontextmanager
    async def _place(self, job: EvaluationJob) -> AsyncGenerator[Sandbox]:
        """A fresh sandbox with the submission; it is discarded in the background."""
        folder = self._scratch / f"produce-{uuid4().hex}"
        sandbox: Sandbox | None = None
        try:
            await self._write(job, folder)
            sandbox = await self._provider.create(
                replace(
                    self._sandbox_spec,
                    mounts=(Mount(folder, WORK, read_only=False),),
                    labels={**self._sandbox_spec.labels, **job.labels},
                    gpus=job.gpus,
                )
            )
            yield sandbox
        finally:
            leaving = asyncio.get_running_loop().create_task(self._discard(sandbox, folder))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Wait until everything that ran is gone."""
        await asyncio.gather(*self._leaving)

    async def _write(self, job: EvaluationJob, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, job.submission.write_to, folder)
        except OSError as error:
            raise SandboxUnavailableError(f"the submission cannot be written: {error}") from error

    async def _collect(self, sandbox: Sandbox, ended: ExecResult) -> Produced:
        outputs: dict[str, bytes] = {}
        left = self._spec.max_output_bytes
        detail = _printed(ended)
        for name in self._spec.outputs:
            problem = ""
            try:
                outputs[name] = await sandbox.read_file(name, max_bytes=left)
            except FileNotFoundError:
                problem = f"{name} was not written"
            except PermissionError:
                problem = f"{name} is not a regular file of the working directory"
            except OverflowError:
                problem = f"with {name} the outputs exceed {self._spec.max_output_bytes} bytes"
            if problem:
                feedback = "\n".join(filter(None, (problem, detail)))
                return Produced(Status.INVALID, feedback=feedback, detail=detail)
            left -= len(outputs[name])
        return Produced(None, outputs, detail=detail)

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


def _printed(ended: ExecResult) -> str:
    return clean_tail(ended.stderr or ended.stdout, DETAIL_BYTES)


def _failed(ended: ExecResult) -> Produced:
    detail = _printed(ended)
    if ended.end is ExecEnd.EXITED:
        status = Status.FAILED
        how = "was killed by signal" if ended.exit_code < 0 else "ended with exit code"
        summary = f"the command {how} {abs(ended.exit_code)}"
    else:
        status = STATUS_OF_END[ended.end]
        summary = f"{status}: {ended.evidence}" if ended.evidence else str(status)
    feedback = "\n".join(filter(None, (summary, detail)))
    return Produced(status, feedback=feedback, detail=detail)
