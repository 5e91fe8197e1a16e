"""`harness eval`: score a folder without any agent."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from harness.attempt import Status, Verdict
from harness.cli.output import JsonFlag, duration, format_score, print_json, say
from harness.errors import ConfigurationError, TaskError
from harness.evaluators.check import score_folders
from harness.evaluators.open import open_evaluator
from harness.events import SCHEMA_VERSION
from harness.run.config import RunConfig, load_config
from harness.tasks.base import Task
from harness.tasks.loader import load_task

EXIT_NO_SCORE = 3
EXIT_OUR_FAULT = 1

SandboxFlag = Annotated[
    str | None,
    Parameter(name="--sandbox", help="auto, docker, bubblewrap or process.", show_default=False),
]


def evaluate(
    task: str, path: str, /, *, sandbox: SandboxFlag = None, json: JsonFlag = False
) -> int:
    """Score the files of a folder as a submission, through the task's own evaluator.

    Exit code 3 when the submission gets no score.

    Parameters
    ----------
    task
        A library task (`harness task list`) or a task folder.
    path
        Folder with the submission.
    """
    loaded = load_task(task)
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise ConfigurationError(
            f"{path!r} is not a folder",
            expected="a folder with the submission's files, such as the task's seed/",
            action=f"harness eval {task} {loaded.seed}",
        )
    verdict = asyncio.run(_score(loaded, folder.resolve(), configured(sandbox)))
    if json:
        print_json({"schema_version": SCHEMA_VERSION, "task": loaded.name, **document(verdict)})
    else:
        _print(loaded, verdict)
    return _exit_code(loaded, verdict)


def configured(provider: str | None) -> RunConfig:
    """The configuration, with `--sandbox` on top."""
    return load_config({"sandbox.provider": provider})


def document(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain JSON."""
    return {
        "status": verdict.status.value,
        "score": verdict.score,
        "metrics": dict(verdict.metrics),
        "feedback": verdict.feedback,
        "stages": [
            {
                "name": stage.name,
                "status": stage.status.value,
                "duration_s": round(stage.duration_s, 6),
                "detail": stage.detail,
            }
            for stage in verdict.stages
        ],
        "duration_s": round(verdict.duration_s, 6),
    }


async def _score(task: Task, folder: Path, config: RunConfig) -> Verdict:
    async with open_evaluator(task, config.sandbox, config.evaluators) as opened:
        found = opened.capabilities
        if not found.isolates_model_code:
            say(f"the {found.name} sandbox isolates little: {found.detail}")
        return await score_folders(opened.pool, task, folder)


def _print(task: Task, verdict: Verdict) -> None:
    print(f"{task.name}: {verdict.status}" + _beside_known(task, verdict.score))
    for name, value in verdict.metrics.items():
        print(f"  {name}: {value:.10g}")
    for line in verdict.feedback.splitlines():
        print(f"  | {line}")
    spent = ", ".join(f"{stage.name} {duration(stage.duration_s)}" for stage in verdict.stages)
    say(f"{duration(verdict.duration_s)} ({spent})" if spent else duration(verdict.duration_s))


def _beside_known(task: Task, score: float | None) -> str:
    if score is None:
        return ""
    known = {"baseline": task.file.baseline, "best known": task.file.best_known}
    beside = ", ".join(f"{name} {value.value:.10g}" for name, value in known.items() if value)
    return f" {format_score(score)}" + (f"  ({beside})" if beside else "")


def _exit_code(task: Task, verdict: Verdict) -> int:
    if verdict.status is Status.SCORED:
        return 0
    if verdict.status is Status.EVALUATOR_ERROR:
        needed = task.file.evaluator.private_files
        where = task.evaluator / needed[0] if task.evaluator and needed else task.folder
        # What was made of another tool's folder is not what its author can correct.
        where = task.origin or where
        raise TaskError(
            f"the judge of {task.name} failed: {_last_line(verdict)}",
            expected="a judge that returns a score, or None for an invalid output",
            action=f"correct {where}; --json shows its traceback",
        )
    return EXIT_OUR_FAULT if verdict.status is Status.SANDBOX_LOST else EXIT_NO_SCORE


def _last_line(verdict: Verdict) -> str:
    detail = verdict.stages[-1].detail if verdict.stages else ""
    return (detail.strip().splitlines() or ["no reason given"])[-1]
