"""Where the files of a submission come from, and what may be in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TaskError
from harness.ids import TreeHash
from harness.sandbox.placing import place
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task


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
        return SubmissionRules(
            include=tuple(spec.include),
            exclude=tuple(spec.exclude),
            max_bytes=spec.max_bytes,
            max_files=spec.max_files,
        )
    except ValueError as error:
        raise TaskError(
            f"{task.folder / 'task.yaml'}: 'submission': {error}",
            expected="patterns as in .gitignore",
            action="correct 'submission' in task.yaml",
        ) from None
