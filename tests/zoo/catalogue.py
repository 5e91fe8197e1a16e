"""All attacks with what they do, in the order of the published table."""

from tests.zoo.escaping import ESCAPING
from tests.zoo.exhausting import EXHAUSTING
from tests.zoo.forging import FORGING
from tests.zoo.reading import READING
from tests.zoo.workspaces import TRAPS

from harness.evaluators.check import case_folders
from harness.tasks.loader import library, load_task

TEXTS = {
    "notes_that_give_orders": "notes that pass for instructions, labels, scores or control codes",
    "commands_in_queries": "SQL, FTS5 and paths in queries and notes",
    "flood_of_near_copies": "two hundred near copies of a note that crowd out others",
}


def catalogue() -> dict[str, dict[str, str]]:
    """What each attack does, by heading and name."""
    tasks = [load_task(name) for name in library()]
    cheats = {
        f"{task.name}/{case}": "shipped with the task"
        for task in tasks
        if not task.file.limits.gpus
        for case in case_folders(task, "cheats")
    }
    return {
        "Forging a score": {attack.name: attack.what for attack in FORGING},
        "Reading what is hidden": {attack.name: attack.what for attack in READING},
        "Getting out": {attack.name: attack.what for attack in ESCAPING},
        "Using up what is shared": {attack.name: attack.what for attack in EXHAUSTING},
        "Traps for whoever records a workspace": {trap.name: trap.what for trap in TRAPS},
        "Texts that others read": TEXTS,
        "Cheats of the library's tasks": cheats,
    }
