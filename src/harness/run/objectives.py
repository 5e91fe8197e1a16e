"""The objectives of a run's task, and its Pareto front."""

from collections.abc import Iterable, Sequence

from harness.attempt import Attempt, Direction
from harness.errors import TaskError
from harness.run.folder import RunFolder
from harness.search.pareto import Objective, ParetoFront
from harness.tasks.base import TaskFile
from harness.tasks.strict_yaml import read_model


def objectives_of(file: TaskFile) -> list[Objective]:
    """What matters beside the score."""
    return [Objective(each.metric, each.direction, each.weight) for each in file.objectives]


def saved_objectives(folder: RunFolder) -> list[Objective]:
    """Those of the task as it was launched.

    Raises:
        TaskError: The run's copy of task.yaml was damaged.
    """
    path = folder.task / "task.yaml"
    return objectives_of(read_model(path, TaskFile, TaskError)) if path.is_file() else []


def front_of(
    attempts: Iterable[Attempt], direction: Direction, objectives: Sequence[Objective]
) -> ParetoFront | None:
    """The front of finished attempts in the order of their verdicts; None with one objective."""
    if not objectives:
        return None
    front = ParetoFront(direction, objectives)
    judged = (a for a in attempts if a.verdict is not None)
    for attempt in sorted(judged, key=lambda a: (a.evaluated_at or 0.0, int(a.id))):
        front.observe(attempt.id, attempt.verdict)
    return front
