"""What `launch` and `resume` know of competitions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from harness.cli.output import say
from harness.clock import SystemClock
from harness.errors import UserError
from harness.run.folder import RunFolder
from harness.run.mlebench import finish, origin_of
from harness.tasks.base import Task

SCHEME = "mlebench:"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MlebenchOptions:
    """Of a launch of mlebench:ID."""

    data_dir: str | None = None
    """For mlebench:ID: folder of the competitions; by default the benchmark's own."""
    gpus: float | None = None
    """For mlebench:ID: GPUs of each evaluation."""
    allow_self_reported: Annotated[bool, Parameter(negative=())] = False
    """For mlebench:ID: run on scores that candidates report of themselves; marked as such."""

    def folder(self, task: str) -> str:
        """The task folder of `mlebench:ID`, made where it is missing; other tasks as they are.

        Raises:
            UserError: The competition cannot be run, or an option is for another kind of task.
        """
        if not task.startswith(SCHEME):
            if self != NO_COMPETITION:
                raise UserError(
                    f"--data-dir, --gpus and --allow-self-reported mean nothing to task {task!r}",
                    expected=f"{SCHEME}ID, or a launch without them",
                    action="GPUs of other tasks are in their task.yaml: limits.gpus",
                )
            return task
        from harness.tasks.mlebench.layout import default_data_dir, find_competition
        from harness.tasks.mlebench.native import native_task

        chosen = Path(self.data_dir).expanduser().absolute() if self.data_dir else None
        competition = find_competition(task.removeprefix(SCHEME), chosen or default_data_dir())
        made = native_task(competition, gpus=self.gpus or 0, self_reported=self.allow_self_reported)
        return str(made.folder)


NO_COMPETITION = MlebenchOptions()


async def finished(folder: RunFolder, task: Task) -> None:
    """After a run: submission and grading, where the task was made of a competition."""
    if origin_of(task) is None:
        return
    say("the budget is spent: the best program runs on the whole public data, then it is graded")
    report = await finish(folder, task, SystemClock())
    assert report is not None
    medals = [name for name in ("gold", "silver", "bronze") if report[f"{name}_medal"]]
    medal = medals[0] if medals else "none"
    if report["any_medal"] is None:
        medal = "unknown (no leaderboard)"
    valid = "valid" if report["valid_submission"] else f"not valid: {report['message']}"
    say(f"held-out test: score {report['score']}, medal {medal}, {valid}")
