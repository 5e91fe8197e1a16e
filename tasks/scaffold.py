"""A first task folder for `harness task new`: small, complete and valid."""

import keyword
import shutil
from pathlib import Path

from harness.errors import TaskError
from harness.ids import slug
from harness.tasks.folder import IGNORED
from harness.tasks.loader import TASK_FILE

TEMPLATE = Path(__file__).resolve().parent / "template"


def new_task(name: str, parent: Path) -> Path:
    """Write a working example task into `parent / name` and return that folder.

    Raises:
        TaskError: Not a task name, or something is there already.
    """
    if name != slug(name) or not name[:1].isalpha() or keyword.iskeyword(name):
        raise TaskError(
            f"{name!r} is not a task name",
            expected="lower-case letters, digits and underscores, a letter first",
            action=f"harness task new {suggestion(name)}",
        )
    folder = parent / name
    if folder.exists() or folder.is_symlink():
        raise TaskError(
            f"{folder} is there already",
            expected="a name that is free",
            action="choose another name, or another place with --to",
        )
    try:
        shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns(*IGNORED, "*.pyc"))
        text = (folder / TASK_FILE).read_text(encoding="utf-8")
        text = text.replace("name: NAME", f"name: {name}", 1)
        (folder / TASK_FILE).write_text(text, encoding="utf-8")
    except OSError as error:
        raise TaskError(
            f"{folder} cannot be written: {error.strerror or error}",
            expected="a folder that you may write",
            action="name another place with --to",
        ) from None
    return folder


def suggestion(name: str) -> str:
    """A valid task name close to `name`."""
    plain = slug(name)
    return plain if plain[:1].isalpha() and not keyword.iskeyword(plain) else f"task_{plain}"
