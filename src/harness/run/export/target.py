"""Where an export goes: made beside it under another name, put there when it is whole."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UserError

FOLDER_MARKS = ("meta.json", "programs.jsonl")
"""By these a folder is known as an earlier export: no other one is ever removed."""


@contextmanager
def new_file(target: Path, *, force: bool) -> Generator[Path]:
    """A path to write a file to; it becomes `target` at the end, or leaves nothing.

    Raises:
        UserError: `target` is a folder, holds something without `force`, or cannot be written.
    """
    if target.is_dir():
        raise UserError(
            f"{target} is a folder",
            expected="the path of a file for this format",
            action=f"--to {target / 'NAME'}",
        )
    if target.is_file() and target.stat().st_size:
        _need(force, target)
    with _beside(target) as folder:
        made = folder / target.name
        yield made
        made.replace(target)


@contextmanager
def new_folder(target: Path, *, force: bool) -> Generator[Path]:
    """An empty folder to write to; it becomes `target` at the end, or leaves nothing.

    Raises:
        UserError: `target` is a file, holds something without `force`, holds something else than an
            export, or cannot be written.
    """
    filled = target.is_dir() and any(target.iterdir())
    if target.exists() and not target.is_dir():
        raise UserError(
            f"{target} is a file",
            expected="the path of a folder for this format",
            action="name another one with --to",
        )
    if filled:
        _need(force, target)
        if not all((target / mark).is_file() for mark in FOLDER_MARKS):
            raise UserError(
                f"{target} holds something else than an export",
                expected=f"a folder with {' and '.join(FOLDER_MARKS)}, an empty one or none",
                action="name another one with --to, or remove it yourself",
            )
    with _beside(target) as folder:
        made = folder / "new"
        made.mkdir()
        yield made
        if target.is_dir():
            target.rename(folder / "old")
        made.rename(target)


def _need(force: bool, target: Path) -> None:
    if not force:
        raise UserError(
            f"{target} is there and not empty",
            expected="a path that is free",
            action="name another one with --to, or --force to replace it",
        )


@contextmanager
def _beside(target: Path) -> Generator[Path]:
    """A folder on the disk of `target`, removed in the end."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {os.strerror(error.errno or 0)}",
            expected="a path in a folder that you may write to",
            action="name another one with --to",
        ) from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
