"""The documents of the HTTP contract of GEPA's evaluation server, with ours beside.

Source: gepa-ai/gepa at b265bf9, `src/gepa/oa/eval_server.py` and `src/gepa/oa/budget.py`. A task is
what GEPA calls a single task: it has no data set, so there is one score, named `_single`.
"""

from dataclasses import dataclass
from typing import Any

from harness.attempt import Direction, Verdict
from harness.tasks.base import Task
from harness.web.evaluator.candidates import Candidates
from harness.web.evaluator.desk import Answer, EvaluationDesk

SINGLE = "_single"
FAILED_SCORE = -1e12
"""Of candidates without a score, unless another is chosen. GEPA needs a number, and its own 0 would
be better than every score of a task that minimises."""


@dataclass(frozen=True, slots=True)
class Contract:
    """Writes what clients are answered. In `score` and `scores` higher is always better."""

    task: Task
    failed_score: float = FAILED_SCORE

    def evaluated(self, answer: Answer, desk: EvaluationDesk) -> dict[str, Any]:
        """The answer to `POST /evaluate`."""
        return {
            "score": self.score(answer.scored.verdict),
            "info": self.info(answer),
            "budget": budget(desk),
        }

    def evaluated_examples(self, answer: Answer, desk: EvaluationDesk) -> dict[str, Any]:
        """The answer to `POST /evaluate_examples`: the whole of a task without a data set."""
        score = self.score(answer.scored.verdict)
        return {
            "average_score": score,
            "scores": {SINGLE: score},
            "infos": {SINGLE: self.info(answer)},
            "num_evaluated": 1,
            "errors": {},
            "budget": budget(desk),
        }

    def status(self, desk: EvaluationDesk) -> dict[str, Any]:
        """The answer to `GET /status`; `best_score` is null until something scored."""
        best = desk.best
        return {
            "budget": budget(desk),
            "task": self.task.name,
            "best_score": self.score(best.verdict) if best else None,
            "total_evals": desk.used,
            "total_cost": 0.0,
            "direction": self.task.direction,
            "best": best
            and {
                "evaluation": best.number,
                "raw_score": best.verdict.score,
                "metrics": dict(best.verdict.metrics),
                "tree": best.tree,
            },
            "running": desk.running,
            "queued": desk.queued,
        }

    def described(self, candidates: Candidates) -> dict[str, Any]:
        """The answer to `GET /task`."""
        file = self.task.file
        return {
            "objective": file.description,
            "background": self._background(candidates),
            "seed_candidate": candidates.seed,
            "has_dataset": False,
            "train_size": 0,
            "val_size": 0,
            "test_size": 0,
            "name": self.task.name,
            "direction": self.task.direction,
            "failed_score": self.failed_score,
            "files": candidates.paths,
            "submission": file.submission.model_dump(),
            "limits": {**file.limits.model_dump(), "timeout_s": file.evaluator.timeout_s},
            "objectives": [each.model_dump() for each in file.objectives],
            "baseline": file.baseline and file.baseline.model_dump(),
            "best_known": file.best_known and file.best_known.model_dump(),
            "target": file.target,
        }

    def score(self, verdict: Verdict) -> float:
        """The verdict as one number, higher is better; the failed score where it has none."""
        if verdict.score is None:
            return self.failed_score
        return upwards(self.task.direction, verdict.score)

    def info(self, answer: Answer) -> dict[str, Any]:
        """The side information: what of the verdict an agent is told as well.

        What judges print is left out: it is the task's author's.
        """
        verdict = answer.scored.verdict
        info: dict[str, Any] = {
            "status": verdict.status.value,
            "raw_score": verdict.score,
            "direction": self.task.direction,
            "metrics": dict(verdict.metrics),
            "feedback": verdict.feedback,
            "stages": [
                {
                    "name": stage.name,
                    "status": stage.status.value,
                    "duration_s": round(stage.duration_s, 6),
                }
                for stage in verdict.stages
            ],
            "duration_s": round(verdict.duration_s, 6),
            "evaluation": answer.scored.number,
            "tree": answer.scored.tree,
            "duplicate": answer.duplicate,
        }
        if self.task.file.objectives:
            info["scores"] = self._objectives(verdict)
        return info

    def _objectives(self, verdict: Verdict) -> dict[str, float]:
        """What GEPA keeps a Pareto front of."""
        scores = {"score": self.score(verdict)}
        for objective in self.task.file.objectives:
            value = verdict.metrics.get(objective.metric)
            scores[objective.metric] = (
                self.failed_score if value is None else upwards(objective.direction, value)
            )
        return scores

    def _background(self, candidates: Candidates) -> str:
        file, limits = self.task.file, self.task.file.limits
        lines = [
            f"The raw score is to be {file.direction}d; `score` is reported higher-is-better.",
            f"A candidate without a score gets {self.failed_score:g}.",
            f"Files: {', '.join(candidates.paths)}.",
            f"Limits: {file.evaluator.timeout_s:g} s, {limits.cpus:g} CPUs, {limits.memory}.",
        ]
        return "\n".join(lines)


def upwards(direction: Direction, value: float) -> float:
    """`value` such that higher is better."""
    return value if direction == "maximize" else 0.0 - value


def budget(desk: EvaluationDesk) -> dict[str, Any]:
    """What was used, and what is left where there is a limit."""
    found: dict[str, Any] = {"exhausted": desk.left == 0, "used": desk.used}
    if desk.limit is not None:
        found |= {"max_evals": desk.limit, "remaining_evals": desk.left}
    return found
