"""docs/tasks.md explains every key of task.yaml, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from harness.tasks.base import ReferenceValue, TaskFile
from harness.tasks.loader import library

PAGE = Path(__file__).parents[3] / "docs" / "tasks.md"


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        found = [kind for kind in models(field.annotation) if kind is not ReferenceValue]
        for kind in found:
            yield from keys(kind, f"{prefix}{name}.")
        if not found:
            yield f"{prefix}{field.alias or name}"


def models(annotation: Any) -> list[type[BaseModel]]:
    """The model that a key holds, or the models of a union, one for each kind."""
    members = [get_args(each)[0] if get_args(each) else each for each in get_args(annotation)]
    found = (annotation, *members)
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, BaseModel)]


def rows(heading: str) -> list[str]:
    """What stands in backquotes at the start of each table row below a heading."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)


def test_every_key_of_a_task_file_is_explained_once() -> None:
    assert sorted(rows("task.yaml")) == sorted(set(keys(TaskFile)))


def test_every_library_task_is_listed() -> None:
    assert sorted(rows("The tasks that ship")) == sorted(library())
