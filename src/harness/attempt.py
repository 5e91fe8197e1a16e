"""The vocabulary that every part shares: operators, statuses, verdicts, attempts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from harness.ids import AgentId, AttemptId, CommitHash, TreeHash

Direction = Literal["maximize", "minimize"]


class Operator(StrEnum):
    """What kind of change an attempt is.

    `draft`, `improve` and `debug` come from AIDE (arXiv:2502.13138); evolving along one's own
    trajectory, fusing and aggregating branches from MLEvolve (InternScience/MLEvolve).
    """

    DRAFT = "draft"
    IMPROVE = "improve"
    DEBUG = "debug"
    EVOLVE = "evolve"
    FUSE = "fuse"
    AGGREGATE = "aggregate"
    TUNE = "tune"


class Status(StrEnum):
    """Closed set of an attempt's states; each end is told from the others by observed evidence."""

    QUEUED = "queued"
    RUNNING = "running"
    SCORED = "scored"
    INVALID = "invalid"
    """The judge refused the output (or it is missing, malformed, not finite)."""
    FAILED = "failed"
    """The candidate's command ended with a non-zero exit code or a signal of its own."""
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    PIDS = "pids"
    DISK = "disk"
    OUTPUT_LIMIT = "output_limit"
    SANDBOX_LOST = "sandbox_lost"
    EVALUATOR_ERROR = "evaluator_error"
    CANCELLED = "cancelled"
    DUPLICATE = "duplicate"


UNFINISHED = frozenset({Status.QUEUED, Status.RUNNING})
NOT_CHARGED = frozenset(
    {Status.SANDBOX_LOST, Status.EVALUATOR_ERROR, Status.CANCELLED, Status.DUPLICATE}
)
"""Ends that are not the candidate's doing and do not count against the evaluation budget."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """One stage of an evaluation: `produce`, `judge`, or a named stage of a cascade."""

    name: str
    status: Status
    duration_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An evaluator's answer.

    `score` is finite if and only if `status` is `scored`.

    Raises:
        ValueError: On construction, when that does not hold.
    """

    status: Status
    score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    feedback: str = ""
    stages: tuple[StageResult, ...] = ()
    duration_s: float = 0.0

    def __post_init__(self) -> None:
        scored = self.status is Status.SCORED
        if scored != (self.score is not None) or (
            self.score is not None and not math.isfinite(self.score)
        ):
            raise ValueError(f"a {self.status} verdict cannot carry the score {self.score!r}")

    @property
    def charged(self) -> bool:
        """Whether the evaluation counts against the budget."""
        return self.status not in NOT_CHARGED


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain JSON, as `harness eval` and the store write it."""
    return {
        "status": verdict.status.value,
        "score": verdict.score,
        "metrics": dict(verdict.metrics),
        "feedback": verdict.feedback,
        "stages": [
            {
                "name": stage.name,
                "status": stage.status.value,
                "duration_s": stage.duration_s,
                "detail": stage.detail,
            }
            for stage in verdict.stages
        ],
        "duration_s": verdict.duration_s,
    }


def verdict_from(document: Mapping[str, Any]) -> Verdict:
    """The inverse of `verdict_json`.

    Raises:
        KeyError, TypeError, ValueError: It is not what `verdict_json` makes.
    """
    return Verdict(
        status=Status(document["status"]),
        score=document["score"],
        metrics=document["metrics"],
        feedback=document["feedback"],
        stages=tuple(
            StageResult(
                name=stage["name"],
                status=Status(stage["status"]),
                duration_s=stage["duration_s"],
                detail=stage["detail"],
            )
            for stage in document["stages"]
        ),
        duration_s=document["duration_s"],
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submitted tree: a git commit and, once evaluated, its verdict.

    `parents[0]` is what it expands, `references` are the further parents of the commit: what it
    refers to. The seed has neither.
    """

    id: AttemptId
    commit: CommitHash
    tree: TreeHash
    agent: AgentId
    operator: Operator
    parents: tuple[AttemptId, ...]
    references: tuple[AttemptId, ...]
    title: str
    status: Status
    created_at: float
    evaluated_at: float | None = None
    verdict: Verdict | None = None
    duplicate_of: AttemptId | None = None
    directive: int | None = None
    """Number of the directive it answers; None for the seed."""
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the agent says of its change, as plain JSON (the offline agent: edit and step size)."""

    @property
    def score(self) -> float | None:
        return self.verdict.score if self.verdict is not None else None


def better(direction: Direction, left: float, right: float) -> bool:
    """Whether `left` is strictly better than `right`."""
    return left > right if direction == "maximize" else left < right


def best_of(
    direction: Direction, attempts: "list[Attempt] | tuple[Attempt, ...]"
) -> Attempt | None:
    """The scored attempt with the best score; the earliest verdict of equals; None without any."""
    scored = [a for a in attempts if a.status is Status.SCORED and a.score is not None]
    sign = -1.0 if direction == "maximize" else 1.0
    return min(scored, key=lambda a: (sign * (a.score or 0.0), *verdict_order(a)), default=None)


def verdict_order(attempt: Attempt) -> tuple[float, int, str]:
    """Sorts by the time of the verdict; by number where that is not known."""
    return attempt.evaluated_at or 0.0, len(attempt.id), attempt.id
