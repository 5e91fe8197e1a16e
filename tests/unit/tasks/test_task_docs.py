"""docs/tasks.md explains every key of task.yaml, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from harness.tasks.base import ReferenceValue, TaskFile
from harness.tasks.loader import library

PAGE = Path(__file__).parents[3] / "docs" / "tasks.md"


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not ReferenceValue:
            yield from keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def rows(heading: str) -> list[str]:
    """What stands in backquotes at the start of each table row below a heading."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)


def test_every_key_of_a_task_file_is_explained_once() -> None:
    assert sorted(rows("task.yaml")) == sorted(keys(TaskFile))


def test_every_library_task_is_listed() -> None:
    assert sorted(rows("The tasks that ship")) == sorted(library())
