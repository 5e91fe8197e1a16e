"""The small tasks in `examples/`, each in the format of another tool, and copies to change."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.attempt import Status
from harness.evaluators.base import EvaluationJob
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.tasks.folder import files_below

EXAMPLES = Path(__file__).resolve().parent / "examples"

SEED_SCORES: Mapping[str, float] = {
    "coral_packaged": 5.0,
    "coral_legacy": 7.0,
    "openevolve_plain": 7.75,
    "openevolve_cascade": 1.9,
    "openevolve_async": 3.0,
    "shinka_helper": 5.0,
    "shinka_plain": 4.0,
    "command_style": 4.25,
}
"""Score of each example as it is, worked out by hand."""

Change = str | tuple[str, str] | None
"""A file's new text; a piece of it and what takes its place; None: the file is deleted."""


@dataclass(frozen=True)
class Case:
    """A submission to one of the examples, and what must become of it."""

    about: str
    task: str
    status: Status
    words: tuple[str, ...] = ()
    """All of them are in the feedback; with `EVALUATOR_ERROR` in the last stage's detail."""
    score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    """Some of the metrics."""
    task_files: Mapping[str, Change] = field(default_factory=dict[str, Change])
    """What is different in the task's folder."""
    files: Mapping[str, Change] = field(default_factory=dict[str, Change])
    """What is different from the seed in the submission."""


def copied(name: str, folder: Path, changes: Mapping[str, Change] | None = None) -> Path:
    """A copy of an example below `folder`, with some of its files changed."""
    target = folder / name
    shutil.copytree(EXAMPLES / name, target)
    for path, change in (changes or {}).items():
        file = target / path
        if change is None:
            file.unlink()
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(changed(change, file.read_text() if file.exists() else ""), "utf-8")
    return target


def changed(change: str | tuple[str, str], text: str) -> str:
    """`text` after the change."""
    if isinstance(change, str):
        return change
    old, new = change
    assert text.count(old) == 1, (old, text)
    return text.replace(old, new)


def job(task: Task, changes: Mapping[str, Change] | None = None) -> EvaluationJob:
    """The task's seed as a submission, with some of its files changed."""
    texts = {name: path.read_text("utf-8") for name, path in files_below(task.seed)}
    for name, change in (changes or {}).items():
        if change is None:
            del texts[name]
        else:
            texts[name] = changed(change, texts.get(name, ""))
    files = {name: TreeFile(text.encode()) for name, text in texts.items()}
    return EvaluationJob(AttemptId("1"), FilesSubmission(files), 0)
