"""The end of a run on an MLE-bench competition: one submission, graded once by another process.

In the run's folder: `submission/submission.csv`, `grading_report.json`, `mlebench_audit.jsonl`.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.attempt import Attempt, Status
from harness.clock import Clock
from harness.errors import HarnessError, UserError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.produce import Produced
from harness.evaluators.produce_once import produce_once
from harness.evaluators.submission import RecordedSubmission
from harness.run.folder import RunFolder
from harness.run.views import RunView, read_run
from harness.sandbox.repository import Repository
from harness.tasks.base import DataSpec, Task
from harness.tasks.folder import data_digest
from harness.tasks.mlebench.checks import MARKS
from harness.tasks.mlebench.native import HIDDEN, mode_of

REPORT = "grading_report.json"
AUDIT = "mlebench_audit.jsonl"
SUBMISSION = Path("submission", "submission.csv")
TRIED = 3
"""Of the best programs, until one writes a submission for the test."""
GRADING_TIMEOUT_S = 3600


@dataclass(frozen=True, slots=True)
class Origin:
    """The competition that a task was made of."""

    competition: str
    data_dir: Path
    final: Path
    mode: str


def origin_of(task: Task) -> Origin | None:
    """None for a task that was not made of a competition."""
    data = task.file.environment.data
    if data is None or not task.name.startswith("mlebench_"):
        return None
    view = Path(data.path)
    competition = view.parent.parent.parent
    return Origin(competition.name, competition.parent, view.parent / "final", mode_of(task.folder))


def saved_report(folder: RunFolder) -> dict[str, Any] | None:
    """The held-out test's report; None as long as there is none."""
    try:
        report: dict[str, Any] = json.loads((folder.path / REPORT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return report


async def finish(folder: RunFolder, task: Task, clock: Clock) -> dict[str, Any] | None:
    """Make the submission of a run that has ended, and have it graded; the second call only reads.

    None for a run of another task.

    Raises:
        HarnessError: The competition cannot be graded here.
    """
    origin = origin_of(task)
    if origin is None:
        return None
    if (known := saved_report(folder)) is not None:
        return known
    view = read_run(folder)
    audit = _Audit(folder, clock)
    submission = folder.path / SUBMISSION
    chosen: Attempt | None = None
    if not submission.is_file():
        chosen = await _make_submission(view, task, origin, submission, audit)
    audit.write("grading", submission=submission.is_file(), mode=origin.mode)
    report, pid = _grade(origin, submission if submission.is_file() else None)
    report |= {"fitness": origin.mode, "attempt": None if chosen is None else str(chosen.id)}
    report |= _apart_from_the_test(view, chosen)
    audit.write(
        "graded", process=pid, evaluations=view.evaluations, valid=report["valid_submission"]
    )
    draft = folder.path / f"{REPORT}.tmp"
    draft.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    draft.rename(folder.path / REPORT)
    return report


def disclosure(folder: RunFolder) -> list[str]:
    """Lines for a report of the run; empty for a run of another task, or one not yet graded."""
    report = saved_report(folder)
    if report is None:
        return []
    medal = next((m for m in ("gold", "silver", "bronze") if report[f"{m}_medal"]), "none")
    if report["any_medal"] is None:
        medal = "unknown (no leaderboard)"
    hidden = report["fitness"] == HIDDEN
    source = (
        "a validation split of the public training data, hidden from agents"
        if hidden
        else "scores that the candidates reported themselves (self_reported)"
    )
    return [
        "## MLE-bench",
        "",
        (
            f"Competition `{report['competition_id']}`: score {report['score']}, medal {medal}, "
            f"valid submission: {'yes' if report['valid_submission'] else 'no'}."
        ),
        *([f"Refused: {report['message']}"] if report.get("message") else []),
        *validation_lines(report),
        "",
        (
            f"Disclosure: fitness came from {source}. The held-out test was graded once, after the "
            "budget, by a separate process; nothing derived from it reached agents, memory or "
            f"search (`{AUDIT}`)."
        ),
    ]


def validation_lines(report: Mapping[str, Any]) -> list[str]:
    """How the scores of the submitted program lie apart, and how many attempts are marked."""
    if report.get("validation_score") is None:
        return []
    own = report["own_validation"]
    shown = "none was printed" if own is None else f"{own:g}"
    marks = ", ".join(report["marks"]) or "none"
    lines = [
        "",
        (
            f"Of the submitted program (attempt {report['attempt']}): own validation {shown}, "
            f"hidden validation {report['validation_score']:g}, held-out test {report['score']}; "
            f"marks: {marks}."
        ),
    ]
    counts = {MARKS[name]: count for name, count in report["marked_attempts"].items() if count}
    told = "; ".join(f"{count} because {why}" for why, count in counts.items())
    return [*lines, f"Marked attempts: {told or 'none'}."]


def _apart_from_the_test(view: RunView, chosen: Attempt | None) -> dict[str, Any]:
    """What the run knew of the program before its test, for whoever asks how far to trust it."""
    verdicts = [a.verdict for a in view.attempts if a.verdict is not None]
    known = None if chosen is None else chosen.verdict
    metrics: Mapping[str, float] = {} if known is None else known.metrics
    return {
        "validation_score": None if chosen is None else chosen.score,
        "own_validation": metrics.get("own_validation"),
        "marks": [MARKS[name] for name in MARKS if metrics.get(name)],
        "marked_attempts": {n: sum(bool(v.metrics.get(n)) for v in verdicts) for n in MARKS},
    }


class _Audit:
    """One line for each step that touched, or led to, the held-out test."""

    def __init__(self, folder: RunFolder, clock: Clock) -> None:
        self._path = folder.path / AUDIT
        self._clock = clock

    def write(self, step: str, **data: Any) -> None:
        line = json.dumps({"at": self._clock.now(), "step": step, **data})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _best_first(view: RunView) -> Sequence[Attempt]:
    scored = [a for a in view.attempts if a.status is Status.SCORED and a.score is not None]
    sign = 1.0 if view.minimize else -1.0
    return sorted(scored, key=lambda a: (sign * (a.score or 0.0), int(a.id)))


async def _make_submission(
    view: RunView, task: Task, origin: Origin, submission: Path, audit: _Audit
) -> Attempt | None:
    """Run the best program on the public data as they are. Answers are nowhere in reach."""
    if not origin.final.is_dir():
        raise UserError(
            f"the public data of {origin.competition} in {origin.final} are gone",
            expected="the data that the run was launched with",
            action="put them back, then: harness mlebench finish RUN",
        )
    data = DataSpec(path=str(origin.final), digest=data_digest(origin.final))
    environment = task.file.environment.model_copy(update={"data": data})
    final = replace(task, file=task.file.model_copy(update={"environment": environment}))
    repository = Repository.open(view.folder.repository)
    try:
        for attempt in _best_first(view)[:TRIED]:
            job = EvaluationJob(
                attempt=attempt.id,
                submission=RecordedSubmission(repository, attempt.tree),
                seed=view.config.seed,
                labels={"harness.run": view.folder.id},
            )
            produced: Produced = await produce_once(final, view.config.sandbox, job)
            audit.write(
                "produced",
                attempt=str(attempt.id),
                failed=produced.status or "",
                score=attempt.score,
            )
            if produced.status is None:
                submission.parent.mkdir(exist_ok=True)
                draft = submission.with_suffix(".tmp")
                draft.write_bytes(produced.outputs["submission.csv"])
                draft.rename(submission)
                return attempt
    finally:
        repository.close()
    return None


def _grade(origin: Origin, submission: Path | None) -> tuple[dict[str, Any], int]:
    """In a process of its own, which alone reads the answers."""
    child = subprocess.Popen(
        [
            sys.executable, "-P", "-m", "harness.tasks.mlebench.grading",
            origin.competition, str(origin.data_dir), "" if submission is None else str(submission),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = child.communicate(timeout=GRADING_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise HarnessError(
            f"grading {origin.competition} took over {GRADING_TIMEOUT_S} s"
        ) from None
    if child.returncode != 0:
        last = (err.decode("utf-8", "replace").strip().splitlines() or ["no output"])[-1]
        raise HarnessError(f"{origin.competition} could not be graded: {last}")
    return json.loads(out), child.pid
