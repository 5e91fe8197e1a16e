"""`harness task import`: the native form of a task in another tool's format."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from harness.cli.output import JsonFlag, print_json
from harness.errors import TaskError
from harness.events import SCHEMA_VERSION


def import_task(
    path: str,
    /,
    *,
    to: Annotated[str, Parameter(help="Folder to write; by default ./NAME.")] = "",
    json: JsonFlag = False,
) -> None:
    """Write the native form of a task of CORAL, OpenEvolve or ShinkaEvolve.

    `harness launch` and the other commands take such folders as they are; this is for going on
    with a task as one of your own.

    Parameters
    ----------
    path
        The task's folder.
    """
    # Loads what reads the formats of others.
    from harness.tasks.foreign.find import conversion
    from harness.tasks.loader import load_task

    folder = Path(path).expanduser()
    found = conversion(folder) if folder.is_dir() else None
    if found is None:
        raise TaskError(
            f"{path!r} is {'of no format that is known' if folder.is_dir() else 'not a folder'}",
            expected="a task of CORAL (task.yaml with task: and grader:), OpenEvolve "
            "(initial_program.*, evaluator.py) or ShinkaEvolve (initial.*, evaluate.py)",
            action="name its folder; docs/import.md says what is looked at",
        )
    name = str(found.native.file["name"])
    target = Path(to).expanduser() if to else Path(name)
    if target.exists() or target.is_symlink():
        raise TaskError(
            f"{target} is there already",
            expected="a name that is free",
            action="choose another one with --to",
        )
    try:
        found.write(target)
    except OSError as error:
        raise TaskError(
            f"{target} cannot be written: {error.strerror or error}",
            expected="a folder that you may write",
            action="name another place with --to",
        ) from None
    task = load_task(target)
    if json:
        about = {"task": task.name, "folder": str(target.resolve()), **found.about}
        print_json({"schema_version": SCHEMA_VERSION, **about})
        return
    shown = str(target) if target.is_absolute() else f"./{target}"
    print(f"{shown}: {found.about['format']} task {task.name!r} in native form")
    for note in task.notes:
        print(f"  note: {note}")
    print(f"  harness task check {shown}\n  harness launch {shown}")
