"""The first phase: the candidate's command, alone with its submission in a sandbox of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.attempt import Status
from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.data import data_places, with_data
from harness.evaluators.place import Places
from harness.evaluators.text import clean_tail
from harness.sandbox.base import ExecEnd, ExecResult, Sandbox
from harness.tasks.evaluation import AnswerSpec

DETAIL_BYTES = 2048
STDOUT_BYTES = 64 * 1024
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
    stdout: bytes = b""
    """End of its standard output, as it is."""


class Producer:
    """Runs candidates, each in a place of its own."""

    def __init__(self, context: EvaluatorContext, spec: AnswerSpec) -> None:
        self._spec = spec
        self._task = context.task
        self._places = Places(context, spec.max_output_bytes)

    async def run(self, job: EvaluationJob) -> Produced:
        """Run the submission's command and collect its outputs.

        Raises:
            SandboxUnavailableError: The sandbox, not the candidate, failed.
        """
        async with self._places.open(job) as sandbox:
            ended = await sandbox.exec(
                with_data(self._spec.produce, data_places(self._task, sandbox.path)),
                timeout_s=self._spec.timeout_s,
                max_output_bytes=self._spec.max_output_bytes,
            )
            if not ended.ok:
                return _failed(ended)
            return await self._collect(sandbox, ended)

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run another command on the submission; see `Places.try_out`."""
        return await self._places.try_out(job, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """Wait until everything that ran is gone."""
        await self._places.close()

    async def _collect(self, sandbox: Sandbox, ended: ExecResult) -> Produced:
        outputs: dict[str, bytes] = {}
        left = self._spec.max_output_bytes
        detail = printed(ended)
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
        return Produced(None, outputs, detail=detail, stdout=ended.stdout[-STDOUT_BYTES:])


def printed(ended: ExecResult) -> str:
    """End of what a candidate printed."""
    return clean_tail(ended.stderr or ended.stdout, DETAIL_BYTES)


def how_it_ended(ended: ExecResult, what: str = "the command") -> tuple[Status, str]:
    """The status of a candidate whose command ended before its time, and what was observed."""
    if ended.end is ExecEnd.EXITED:
        how = "was killed by signal" if ended.exit_code < 0 else "ended with exit code"
        return Status.FAILED, f"{what} {how} {abs(ended.exit_code)}"
    status = STATUS_OF_END[ended.end]
    return status, f"{status}: {ended.evidence}" if ended.evidence else str(status)


def _failed(ended: ExecResult) -> Produced:
    detail = printed(ended)
    status, summary = how_it_ended(ended)
    feedback = "\n".join(filter(None, (summary, detail)))
    return Produced(status, feedback=feedback, detail=detail)
