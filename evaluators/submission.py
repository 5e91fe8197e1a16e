"""Where the files of a submission come from, and what may be in it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import TaskError
from harness.ids import TreeHash
from harness.sandbox.placing import place
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules, scan
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.tasks.editable import editable_of


@dataclass(frozen=True, slots=True)
class RecordedSubmission:
    """A tree of the run's repository."""

    repository: Repository
    tree: TreeHash

    def files(self) -> Mapping[str, TreeFile]:
        return self.repository.files(self.tree)

    def write_to(self, folder: Path) -> None:
        self.repository.checkout(self.tree, folder)


@dataclass(frozen=True, slots=True)
class FilesSubmission:
    """Files in memory, for scoring outside a run; `tree` is any name for them."""

    held: Mapping[str, TreeFile]
    tree: str = "-"

    def files(self) -> Mapping[str, TreeFile]:
        return self.held

    def write_to(self, folder: Path) -> None:
        place(folder, self.held)


def submission_rules(task: Task) -> SubmissionRules:
    """What the task accepts as a submission.

    Raises:
        TaskError: When a pattern of `submission` means nothing.
    """
    spec = task.file.submission
    try:
        rules = SubmissionRules(
            include=tuple(spec.include),
            exclude=tuple(spec.exclude),
            max_bytes=spec.max_bytes,
            max_files=spec.max_files,
        )
        editable = editable_of(task)
    except ValueError as error:
        raise TaskError(
            f"{task.folder / 'task.yaml'}: 'submission': {error}",
            expected="patterns as in .gitignore",
            action="correct 'submission' in task.yaml",
        ) from None
    if editable is None:
        return rules
    kept = scan(task.seed, rules, hard_links=True)
    among = editable.among({path: file.data for path, file in kept.items()})

    def check(files: Mapping[str, TreeFile]) -> None:
        among.check({path: file.data for path, file in files.items()})

    return replace(rules, check=check)
