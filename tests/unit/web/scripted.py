"""An evaluator whose verdicts stand in the candidate's files, for tests of what is around it."""

import asyncio
import json
from collections.abc import Sequence

from harness.attempt import StageResult, Status, Verdict
from harness.evaluators.base import EvaluationJob
from harness.sandbox.base import ExecResult


class ScriptedEvaluator:
    """`solve.py` says what it comes to: a number is the score, a word the status, `wait` waits."""

    def __init__(self) -> None:
        self.evaluated: list[str] = []
        self.cancelled = 0
        self.go_on = asyncio.Event()

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        text = job.submission.files()["solve.py"].data.decode()
        self.evaluated.append(text)
        if text.startswith("wait"):
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            text = text.removeprefix("wait ")
        if text in list(Status):
            stage = StageResult("judge", Status(text), 0.5, "the judge's own words")
            return Verdict(Status(text), feedback=f"it is {text}", stages=(stage,))
        score = float(json.loads(text))
        return Verdict(Status.SCORED, score, {"size": score * 10}, "judged", duration_s=1.0)

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        raise AssertionError("the service only has candidates scored")

    async def close(self) -> None:
        self.go_on.set()
