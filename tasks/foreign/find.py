"""From a folder in another tool's format to a native task folder, made once and kept."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml

from harness.errors import TaskError
from harness.tasks.environment import cache_folder
from harness.tasks.foreign.base import Format, Native, Sources, below
from harness.tasks.foreign.config import read_yaml
from harness.tasks.foreign.coral import CoralFormat
from harness.tasks.foreign.imported import IMPORTED
from harness.tasks.foreign.openevolve import OpenEvolveFormat
from harness.tasks.foreign.seeded import SeededFormat
from harness.tasks.foreign.shinka import ShinkaFormat

FORMATS: tuple[Format, ...] = (CoralFormat(), SeededFormat(), OpenEvolveFormat(), ShinkaFormat())
"""In the order in which a folder is looked at."""
TASK_FILE = "task.yaml"
OVERLAY = "harness_task.yaml"
"""In a foreign folder: keys of a native task.yaml that are to be different."""


def format_of(folder: Path) -> Format | None:
    """The format of a folder, as far as looking tells."""
    return next((each for each in FORMATS if each.recognises(folder)), None)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A foreign task in native form, and what is kept of where it comes from."""

    native: Native
    about: Mapping[str, Any]
    """`format`, `origin` (its folder) and `notes` (what could not be mapped)."""

    def write(self, folder: Path) -> None:
        """Write it into a folder that is not there yet. Blocking.

        Raises:
            OSError: It cannot be written.
        """
        folder.mkdir(parents=True)
        for name, source in self._files().items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, bytes):
                target.write_bytes(source)
            else:
                shutil.copyfile(source, target)
        text = yaml.safe_dump(self.native.file, sort_keys=False, allow_unicode=True, width=100)
        (folder / TASK_FILE).write_text(text, encoding="utf-8")
        (folder / IMPORTED).write_text(json.dumps(self.about, indent=2) + "\n", encoding="utf-8")

    @property
    def key(self) -> str:
        """The same for the same content."""
        about = json.dumps([self.native.file, self.about], sort_keys=True)
        digest = hashlib.sha256(about.encode())
        for name, source in sorted(self._files().items()):
            data = source if isinstance(source, bytes) else source.read_bytes()
            for piece in (name.encode("utf-8", "surrogateescape"), data):
                digest.update(hashlib.sha256(piece).digest())
        return digest.hexdigest()[:24]

    def _files(self) -> Sources:
        """All files by their path below the task's folder."""
        native = self.native
        parts = {"seed": native.seed, "evaluator": native.evaluator, "private": native.private}
        files = dict(native.beside)
        for part, sources in parts.items():
            files |= below(part, sources)
        return files


def conversion(folder: Path) -> Conversion | None:
    """The folder's task in native form; None when it is of no known format.

    Raises:
        TaskError: Something of it is missing or makes no sense.
    """
    found = format_of(folder)
    if found is None:
        return None
    native = found.convert(folder)
    about = {"format": found.name, "origin": str(folder.resolve()), "notes": list(native.notes)}
    return Conversion(
        replace(native, file=_merged(native.file, read_yaml(folder / OVERLAY))), about
    )


def converted(folder: Path) -> Path | None:
    """The native folder of a foreign task, from the cache or made anew; None as `conversion`.

    Raises:
        TaskError: As `conversion`, or it cannot be written.
    """
    found = conversion(folder)
    if found is None:
        return None
    place = cache_folder().parent / "tasks" / f"{found.native.file['name']}-{found.key}"
    if not place.is_dir():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=place.parent))
            try:
                found.write(draft / "task")
                (draft / "task").rename(place)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        except OSError as error:
            if not place.is_dir():  # else another process was quicker
                raise TaskError(
                    f"{place} cannot be written: {error.strerror or error}",
                    expected="a folder for converted tasks",
                    action="name another one: HARNESS_CACHE=/path harness …",
                ) from None
    return place


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merged(cast(dict[str, Any], old), cast(dict[str, Any], value))
        else:
            merged[key] = value
    return merged
