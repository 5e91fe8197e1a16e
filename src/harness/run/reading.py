"""Opening `run.db` for reading only: live, dead and copied runs, read-only folders included."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from harness.errors import StoreError
from harness.run.database import check_version


@contextmanager
def reading(database: Path) -> Generator[sqlite3.Connection]:
    """A connection that cannot write.

    Without a write-ahead log the file is complete and opened as immutable. With one it is opened
    beside the writer where the folder allows that, else a copy of both files is read.

    Raises:
        StoreError: Missing, damaged, or written by another version.
    """
    if not database.is_file():
        raise StoreError(f"{database} does not exist")
    log = Path(f"{database}-wal")
    if not log.exists():
        yield from _open(database, "immutable=1")
    elif os.access(database.parent, os.W_OK):
        yield from _open(database, "mode=ro")
    else:
        with tempfile.TemporaryDirectory(prefix="harness-read-") as folder:
            copy = Path(folder) / database.name
            shutil.copyfile(database, copy)
            shutil.copyfile(log, Path(f"{copy}-wal"))
            yield from _open(copy, "mode=rw")


def _open(database: Path, query: str) -> Generator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(database))}?{query}", uri=True, isolation_level=None, timeout=30.0
        )
        connection.row_factory = sqlite3.Row
        check_version(connection, database)
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{database} cannot be read: {error}") from error
    try:
        # One snapshot for all queries of a view.
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()
