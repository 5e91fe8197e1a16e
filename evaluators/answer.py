"""The two-phase evaluator: the candidate writes files, the judge scores them."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from harness.attempt import StageResult, Status, Verdict
from harness.errors import EvaluatorFailedError, SandboxUnavailableError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.judge import Judge
from harness.evaluators.produce import Producer
from harness.evaluators.text import clean
from harness.sandbox.base import ExecResult, Limits, SandboxProvider
from harness.tasks.base import Task

RETRIES = 2
"""How often an evaluation is tried again after its sandbox failed."""
RETRY_DELAY_S = 0.2

NOT_YOUR_FAULT = "This is not the fault of the submission, and it does not count."

T = TypeVar("T")


class AnswerEvaluator:
    """Scores submissions of a task of the kind `answer`.

    *Produce* sees the submission and nothing else; of what it leaves, the declared outputs go to
    *judge*, which sees the private data and never the candidate's code. They share no sandbox.

    Args:
        limits: Of one sandbox; the task's own outrank them in *produce*.
        python: Virtual environment whose Python both phases use, where the provider runs on the
            host's file system; None is the harness's own.
        scratch: Folder that a sandbox's uid can reach by path, for copies and working folders.
        labels: Put on every sandbox.
    """

    def __init__(
        self,
        task: Task,
        provider: SandboxProvider,
        limits: Limits,
        python: Path | None,
        scratch: Path,
        executor: Executor,
        labels: Mapping[str, str],
    ) -> None:
        if not scratch.exists():
            scratch.mkdir(parents=True)
            # Reachable but not to be listed: names in it cannot be guessed.
            scratch.chmod(0o711)
        self._repeats = task.file.evaluator.repeats
        self._producer = Producer(task, provider, limits, python, scratch, executor, labels)
        self._judge = Judge(task, provider, limits, python, scratch, executor, labels)

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission; see `Evaluator`."""
        started = time.perf_counter()
        rounds: list[Verdict] = []
        for number in range(self._repeats):
            verdict = await self._round(job, job.seed + number)
            rounds.append(verdict)
            if verdict.status is not Status.SCORED:
                break
        last = rounds[-1]
        whole = _median(rounds) if len(rounds) > 1 and last.status is Status.SCORED else last
        stages = tuple(stage for verdict in rounds for stage in verdict.stages)
        return replace(whole, stages=stages, duration_s=time.perf_counter() - started)

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run; see `Evaluator`."""
        return await self._producer.try_out(job, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """End what runs in the background and the judge's sandbox. May be called twice."""
        await asyncio.gather(self._producer.close(), self._judge.close())

    async def _round(self, job: EvaluationJob, seed: int) -> Verdict:
        timer = _Stage("produce")
        try:
            produced = await _persist(lambda: self._producer.run(job))
        except SandboxUnavailableError as error:
            return _lost(timer, error)
        if produced.status is not None:
            stage = timer.ended(produced.status, produced.detail)
            return Verdict(produced.status, feedback=clean(produced.feedback), stages=(stage,))
        done = timer.ended(Status.SCORED, produced.detail)
        timer = _Stage("judge")
        try:
            judged = await _persist(lambda: self._judge.score(produced.outputs, seed))
        except SandboxUnavailableError as error:
            return _lost(timer, error, done)
        except EvaluatorFailedError as error:
            stage = timer.ended(Status.EVALUATOR_ERROR, str(error))
            feedback = f"The evaluator failed. {NOT_YOUR_FAULT}"
            return Verdict(Status.EVALUATOR_ERROR, feedback=feedback, stages=(done, stage))
        status = Status.INVALID if judged.score is None else Status.SCORED
        feedback = judged.feedback or ("" if status is Status.SCORED else "refused by the judge")
        return Verdict(
            status=status,
            score=judged.score,
            metrics=judged.metrics,
            feedback=feedback,
            stages=(done, timer.ended(status, judged.detail)),
        )


class _Stage:
    """Measures a stage from its construction on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = time.perf_counter()

    def ended(self, status: Status, detail: str) -> StageResult:
        return StageResult(self._name, status, time.perf_counter() - self._started, detail)


async def _persist(attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns, tried again when the sandbox failed."""
    for number in range(RETRIES):
        try:
            return await attempt()
        except SandboxUnavailableError:
            await asyncio.sleep(RETRY_DELAY_S * 2**number)
    return await attempt()


def _lost(timer: _Stage, error: SandboxUnavailableError, *before: StageResult) -> Verdict:
    stage = timer.ended(Status.SANDBOX_LOST, clean(str(error)))
    feedback = f"The sandbox failed {RETRIES + 1} times. {NOT_YOUR_FAULT}"
    return Verdict(Status.SANDBOX_LOST, feedback=feedback, stages=(*before, stage))


def _median(rounds: list[Verdict]) -> Verdict:
    """Medians of scores and metrics, with the scores' spread; feedback of the middle round."""
    scores = [verdict.score for verdict in rounds if verdict.score is not None]
    score = statistics.median(scores)
    middle = min(rounds, key=lambda verdict: abs((verdict.score or 0.0) - score))
    metrics = {
        name: statistics.median(verdict.metrics[name] for verdict in rounds)
        for name in middle.metrics
        if all(name in verdict.metrics for verdict in rounds)
    }
    spread = {
        "repeats": float(len(scores)),
        "score_min": min(scores),
        "score_max": max(scores),
        "score_stdev": statistics.stdev(scores),
    }
    return replace(middle, score=score, metrics={**metrics, **spread})
