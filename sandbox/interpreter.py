"""The Python that a sandbox's commands run, and the folders without which it does not."""

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SandboxUnavailableError

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
"""What every sandbox shows of the machine's programs."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python to run: the folder of its programs, and the folders it needs to be seen at."""

    programs: Path
    prefixes: tuple[Path, ...]

    @classmethod
    def find(cls, environment: Path | None) -> "Interpreter":
        """The one of a virtual environment, or the harness's own.

        Raises:
            SandboxUnavailableError: The folder has no interpreter.
        """
        prefix = Path(sys.prefix) if environment is None else environment.absolute()
        programs = prefix / "bin"
        program = programs / "python3"
        if not program.exists():
            raise SandboxUnavailableError(f"no Python interpreter at {program}")
        found = [prefix, *(path.parent.parent for path in _chain(program))]
        if environment is None:
            found.append(Path(sys.base_prefix))
        settings = prefix / "pyvenv.cfg"
        if settings.exists():
            for line in settings.read_text(encoding="utf-8").splitlines():
                key, _, value = line.partition("=")
                if key.strip() == "home":
                    found.append(Path(value.strip()).parent)
        found = [folder for folder in found if folder.is_dir()]
        # Both as it is called and where it lies: links may lead from one to the other.
        return cls(programs, tuple(_outermost([*found, *(path.resolve() for path in found)])))


def _chain(program: Path) -> Iterator[Path]:
    """What a program links to, one link after the other, and where that ends."""
    for _ in range(40):  # more links the kernel does not follow either
        if not program.is_symlink():
            break
        program = Path(os.path.normpath(program.parent / program.readlink()))
        yield program
    yield program.resolve()


def _outermost(folders: list[Path]) -> Iterator[Path]:
    kept = [Path(name) for name in SYSTEM]
    for folder in sorted(set(folders)):
        above = [other for other in kept if folder.is_relative_to(other)]
        shown = any(closed_step(other, folder) is None for other in above)
        if not shown and folder != Path("/"):
            kept.append(folder)
            yield folder


def closed_step(above: Path, folder: Path) -> Path | None:
    """The first step from `above` down to `folder` that commands' uid may not pass through.

    None for an ordinary user, whose commands run under the user's own uid.
    """
    if os.geteuid() != 0:
        return None
    for step in reversed((folder, *folder.parents)):
        if step != above and step.is_relative_to(above) and not step.stat().st_mode & stat.S_IXOTH:
            return step
    return None
