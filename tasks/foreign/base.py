"""What reading a foreign task comes to: the parts of a native one, and what was left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.errors import TaskError
from harness.ids import slug
from harness.tasks.folder import IGNORED

Source = Path | bytes
"""A file to be copied, or the content of one to be written."""
Sources = Mapping[str, Source]

HERE = Path(__file__).resolve().parent
INSIDE = HERE / "inside"
SHIMS = HERE / "shims"
OPTIONS = "harness_options.json"
"""Beside an adapter: what it is to know of the task."""
LEFT_OUT = IGNORED | {".venv", "venv", "node_modules", ".pytest_cache", ".mypy_cache"}


@dataclass(frozen=True, slots=True)
class Native:
    """A task in native form, not written yet. `file` is the content of task.yaml.

    The others are files by their path below the folder of that name; those of `beside` lie beside
    task.yaml. `notes` say what of the
    original means nothing here, and what to do about it.
    """

    file: dict[str, Any]
    seed: Sources
    evaluator: Sources
    private: Sources = field(default_factory=dict[str, Source])
    beside: Sources = field(default_factory=dict[str, Source])
    notes: tuple[str, ...] = ()


class Format(Protocol):
    """A task format of another tool."""

    @property
    def name(self) -> str:
        """As it is shown: `openevolve`, `shinka`, `coral`."""
        ...

    def recognises(self, folder: Path) -> bool:
        """Whether the folder looks like a task of this format. Raises nothing."""
        ...

    def convert(self, folder: Path) -> Native:
        """The task in native form. Reads the task's files, writes and runs nothing.

        Raises:
            TaskError: Something of it is missing or makes no sense; names it.
        """
        ...


def task_name(text: str) -> str:
    """`text` as the name of a task."""
    plain = slug(text) or "task"
    return plain if plain[0].isalpha() else f"task_{plain}"


def tree(folder: Path, *, skip: frozenset[str] = frozenset()) -> dict[str, Path]:
    """The files below a folder by their path, sorted; what links lead to counts as being there.

    Args:
        skip: Names left out at the top.

    Raises:
        TaskError: A link leads nowhere, or in a circle; a folder cannot be read.
    """
    found: dict[str, Path] = {}

    def walk(place: Path, prefix: str, above: tuple[Path, ...]) -> None:
        real = place.resolve()
        if real in above:
            raise _link(place, "leads in a circle")
        try:
            names = sorted(path.name for path in place.iterdir())
        except OSError as error:
            raise TaskError(
                f"{place} cannot be read: {error.strerror}",
                expected="folders and files that you may read",
                action=f"chmod -R u+rX {folder}",
            ) from None
        for name in names:
            path = place / name
            if name in LEFT_OUT or name.endswith(".pyc") or (not prefix and name in skip):
                continue
            if path.is_dir():
                walk(path, f"{prefix}{name}/", (*above, real))
            elif path.is_file():
                found[prefix + name] = path
            elif path.is_symlink():
                raise _link(path, f"leads nowhere (to {path.readlink()})")

    walk(folder, "", ())
    return found


def below(prefix: str, sources: Sources) -> dict[str, Source]:
    """The same files in a folder."""
    return {f"{prefix}/{name}": source for name, source in sources.items()}


def adapter(name: str, shim: str) -> dict[str, Source]:
    """The program that runs a foreign evaluator, and the modules it may import."""
    beside = (name, "harness_guard.py", "harness_numbers.py")
    own: dict[str, Source] = {each: INSIDE / each for each in beside}
    return own | below(f"shims/{shim}", tree(SHIMS / shim))


def _link(path: Path, problem: str) -> TaskError:
    return TaskError(
        f"{path} is a link that {problem}",
        expected="links whose target is there",
        action="restore its target (data that is fetched separately?), or remove the link",
    )
