"""What an evaluator promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.attempt import Verdict
from harness.ids import AttemptId
from harness.sandbox.base import ExecResult
from harness.sandbox.tree import TreeFile


class Submission(Protocol):
    """A recorded tree. What is evaluated comes from the record, never from a workspace."""

    @property
    def tree(self) -> str:
        """Hash of the tree."""
        ...

    def files(self) -> Mapping[str, TreeFile]:
        """The files by path. Blocking: called in a pool."""
        ...

    def write_to(self, folder: Path) -> None:
        """Write the files into an empty folder. Blocking: called in a pool."""
        ...


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """One attempt to be scored. `seed` makes repeats of noisy tasks reproducible.

    `gpus` are the UUIDs of those leased for it; the pool sets them.
    """

    attempt: AttemptId
    submission: Submission
    seed: int = 0
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LateVerdict:
    """An answer that came after its worker was given up; never the attempt's verdict.

    `token` names the dispatch, `site` the host and process that answered.
    """

    attempt: AttemptId
    token: str
    site: str
    verdict: Verdict


class Evaluator(Protocol):
    """Scores submissions of one task.

    **Trust**: the candidate's code and the judge's never share a process, a uid's writable folder
    or the private data. **Errors**: what the candidate does is a verdict; `evaluate` retries
    infrastructure failures within bounds and then answers `sandbox_lost` or `evaluator_error`.
    **Concurrency**: `evaluate` may be called side by side; bounding is the pool's duty.
    """

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission. Raises nothing but `asyncio.CancelledError`."""
        ...

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command on the submission where candidates run: unscored, no private data.

        Raises:
            SandboxUnavailableError: The sandbox, not the command, failed.
        """
        ...

    async def close(self) -> None:
        """End the sandboxes it keeps. May be called twice."""
        ...
