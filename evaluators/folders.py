"""Working folders that outlive no process for long: what a killed one left, the next removes."""

import fcntl
import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.evaluators.place import remove_folder

PREFIX = "harness-eval-"
LOCK = "lock"
YOUNG_S = 60.0
"""A younger folder without an owner may be one that is being made."""


@contextmanager
def own_folder() -> Generator[Path]:
    """A new folder that other users may enter but not list; it is removed at the end. Blocking."""
    _remove_ownerless()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.chmod(0o711)
        yield folder
    finally:
        remove_folder(folder)
        os.close(lock)


def _remove_ownerless() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        # Another user's, or removed meanwhile, or owned: the lock is held.
        with suppress(OSError), path.open("r+b") as file:
            if time.time() - path.stat().st_mtime > YOUNG_S:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_folder(path.parent)
