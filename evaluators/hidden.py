"""Scores on hidden data, told coarsely, and the hold-out that champions are scored on at the end.

Whoever may ask for a score again and again learns the data behind it, agents or search policy
alike. What bounds that: scores in steps (as the Ladder of Blum and Hardt, arXiv:1502.04585, reports
them), no other words of the judge, and a number of questions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.attempt import Direction, StageResult, Status, Verdict
from harness.evaluators.base import EvaluationJob, Evaluator
from harness.evaluators.context import EvaluatorContext
from harness.sandbox.base import ExecResult
from harness.tasks.base import Task
from harness.tasks.evaluation import HiddenSpec

JUDGES = ("judge", "tests", "in_process")
"""Stages of evaluations that have seen hidden data."""


class HiddenEvaluator:
    """Leaves of each verdict what may be told. Nothing else of the run has more."""

    def __init__(self, evaluator: Evaluator, spec: HiddenSpec, direction: Direction) -> None:
        self._evaluator = evaluator
        self._spec = spec
        self._direction: Direction = direction

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission; see `Evaluator`."""
        return told(await self._evaluator.evaluate(job), self._spec, self._direction)

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run; see `Evaluator`."""
        return await self._evaluator.try_out(job, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the evaluator. May be called twice."""
        await self._evaluator.close()


def told(verdict: Verdict, spec: HiddenSpec, direction: Direction) -> Verdict:
    """What of a verdict may be told.

    What the candidate's own command came to is not hidden, and told as ever.
    """
    if verdict.status not in (Status.SCORED, Status.INVALID) or not _judged(verdict.stages):
        return verdict
    score, metrics = verdict.score, dict[str, float]()
    if score is not None and spec.step is not None:
        score = coarse(score, spec.step, direction)
    if spec.metrics:
        metrics = _coarse_metrics(verdict.metrics, spec.step, direction)
    refused = "refused by the judge" if score is None else ""
    return replace(
        verdict,
        score=score,
        metrics=metrics,
        feedback=verdict.feedback if spec.feedback else refused,
        stages=tuple(_silent(stage) for stage in verdict.stages),
    )


def coarse(value: float, step: float, direction: Direction) -> float:
    """`value` as the multiple of `step` that is not better than it."""
    count = value / step
    # What is a multiple already must stay one, whatever the division made of it.
    near = round(count) if math.isfinite(count) else 0
    if not math.isfinite(count) or math.isclose(near * step, value, rel_tol=1e-12):
        return value
    return step * (math.floor(count) if direction == "maximize" else math.ceil(count))


def holdout_task(task: Task) -> Task | None:
    """The task with the evaluator that scores champions on the hold-out; None without one."""
    spec = task.file.evaluator
    if spec.hidden is None or spec.hidden.holdout is None:
        return None
    file = task.file.model_copy(update={"evaluator": spec.varied(spec.hidden.holdout)})
    return replace(task, file=file)


def holdout_context(context: EvaluatorContext) -> EvaluatorContext | None:
    """`context` for evaluations on the hold-out; None where the task has none."""
    task = holdout_task(context.task)
    return None if task is None else replace(context, task=task)


def _judged(stages: Sequence[StageResult]) -> bool:
    return bool(stages) and any(stage.name.endswith(JUDGES) for stage in stages)


def _silent(stage: StageResult) -> StageResult:
    judged = stage.name.endswith(JUDGES) or stage.name.startswith("test ")
    return replace(stage, detail="") if judged else stage


def _coarse_metrics(
    metrics: Mapping[str, float], step: float | None, direction: Direction
) -> dict[str, float]:
    if step is None:
        return dict(metrics)
    return {name: coarse(value, step, direction) for name, value in metrics.items()}
