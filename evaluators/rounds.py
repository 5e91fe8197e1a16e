"""What the kinds of evaluator share: stages, retries, and one verdict out of several rounds."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from harness.attempt import StageResult, Status, Verdict
from harness.errors import EvaluatorFailedError, SandboxUnavailableError
from harness.evaluators.text import clean
from harness.sandbox.watch import ProviderWatch

RETRIES = 2
"""How often an evaluation is tried again after its sandbox failed."""
RETRY_DELAY_S = 0.2

NOT_YOUR_FAULT = "This is not the fault of the submission, and it does not count."

T = TypeVar("T")


class Stage:
    """Measures a stage from its construction on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = time.perf_counter()

    def ended(self, status: Status, detail: str = "") -> StageResult:
        return StageResult(self._name, status, time.perf_counter() - self._started, detail)


async def repeated(seed: int, repeats: int, score: Callable[[int], Awaitable[Verdict]]) -> Verdict:
    """The median of `repeats` rounds with the seeds from `seed` on; the first failure ends it."""
    started = time.perf_counter()
    rounds: list[Verdict] = []
    for number in range(repeats):
        rounds.append(await score(seed + number))
        if rounds[-1].status is not Status.SCORED:
            break
    last = rounds[-1]
    whole = _median(rounds) if len(rounds) > 1 and last.status is Status.SCORED else last
    stages = tuple(stage for verdict in rounds for stage in verdict.stages)
    return replace(whole, stages=stages, duration_s=time.perf_counter() - started)


async def persist(attempt: Callable[[], Awaitable[T]], watch: ProviderWatch | None = None) -> T:
    """What `attempt` returns, tried again when the sandbox failed.

    While the provider of sandboxes is away (`watch`), this waits and counts no failure.

    Raises:
        SandboxUnavailableError: It failed each time.
    """
    failures = 0
    while True:
        try:
            return await attempt()
        except SandboxUnavailableError as error:
            if watch is not None and await watch.was_away(str(error)):
                continue
            failures += 1
            if failures > RETRIES:
                raise
            await asyncio.sleep(RETRY_DELAY_S * 2 ** (failures - 1))


def lost(stage: Stage, error: SandboxUnavailableError, *before: StageResult) -> Verdict:
    """The verdict when the sandbox failed for good; never charged to the candidate."""
    ended = stage.ended(Status.SANDBOX_LOST, clean(str(error)))
    feedback = f"The sandbox failed {RETRIES + 1} times. {NOT_YOUR_FAULT}"
    return Verdict(Status.SANDBOX_LOST, feedback=feedback, stages=(*before, ended))


def evaluator_failed(stage: Stage, error: EvaluatorFailedError, *before: StageResult) -> Verdict:
    """The verdict when the judge itself failed; its traceback stays with the task's author."""
    ended = stage.ended(Status.EVALUATOR_ERROR, str(error))
    feedback = f"The evaluator failed. {NOT_YOUR_FAULT}"
    return Verdict(Status.EVALUATOR_ERROR, feedback=feedback, stages=(*before, ended))


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
