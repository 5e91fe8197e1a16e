"""Cheaper evaluations first: what fails one of them never costs the whole evaluation."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from harness.attempt import Direction, StageResult, Status, Verdict, better
from harness.evaluators.base import EvaluationJob, Evaluator
from harness.sandbox.base import ExecResult
from harness.tasks.evaluation import StageSpec


class CascadeEvaluator:
    """Evaluates in stages; the first that a candidate does not pass gives its verdict.

    A score below a stage's threshold is `invalid`: scores of stages are on scales of their own, and
    none of them may stand among those of whole evaluations.
    """

    def __init__(
        self,
        stages: Sequence[tuple[StageSpec, Evaluator]],
        whole: Evaluator,
        direction: Direction,
    ) -> None:
        self._stages = stages
        self._whole = whole
        self._direction: Direction = direction

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission; see `Evaluator`."""
        before: tuple[StageResult, ...] = ()
        spent_s = 0.0
        for stage, evaluator in self._stages:
            verdict = await evaluator.evaluate(job)
            spent_s += verdict.duration_s
            passed = verdict.score is not None and not better(
                self._direction, stage.threshold, verdict.score
            )
            if verdict.score is not None and not passed:
                verdict = _rejected(stage, verdict, verdict.score)
            before += tuple(_named(stage.name, each) for each in verdict.stages)
            if not passed:
                return replace(verdict, stages=before, duration_s=spent_s)
        verdict = await self._whole.evaluate(job)
        stages = (*before, *verdict.stages)
        return replace(verdict, stages=stages, duration_s=spent_s + verdict.duration_s)

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run; see `Evaluator`."""
        return await self._whole.try_out(job, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the evaluators of all stages. May be called twice."""
        await asyncio.gather(self._whole.close(), *(each.close() for _, each in self._stages))


def _rejected(stage: StageSpec, verdict: Verdict, score: float) -> Verdict:
    why = f"Stage {stage.name}: {score:.6g} does not reach {stage.threshold:g}."
    feedback = "\n".join(filter(None, (why, verdict.feedback)))
    *others, last = verdict.stages
    return replace(
        verdict,
        status=Status.INVALID,
        score=None,
        metrics={},
        feedback=feedback,
        stages=(*others, replace(last, status=Status.INVALID)),
    )


def _named(stage: str, result: StageResult) -> StageResult:
    return replace(result, name=f"{stage}: {result.name}")
