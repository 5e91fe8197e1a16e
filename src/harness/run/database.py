"""`run.db` itself: connection, transactions, the journal."""

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.clock import Clock
from harness.errors import StoreError
from harness.events import EventKind
from harness.redact import RedactingConnection
from harness.run import rows, schema

DATABASE = "run.db"


class Database:
    """The connection of the only writer; not for threads: it belongs to the event loop.

    **Durability**: WAL with `synchronous=FULL`; a transaction is on disk when its block is left
    (0.2 ms on a local disk, so it is used on the event loop). One that nothing is acknowledged by
    does not wait for that: SIGKILL never undoes it, a power failure may until the next one that
    waits, and then all after it too: what is found is always a state that was.
    **Atomicity**: an event and the state it changes share a transaction, so SIGKILL at any
    instruction leaves both or neither. **Processes**: the holder of the run's lock writes; only
    `commands` is appended to by others.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._ahead_s = 0.0
        """How far the newest date of earlier sessions is ahead of the clock, which was set back."""

    @classmethod
    def create(cls, folder: Path, clock: Clock, meta: Mapping[str, str]) -> "Database":
        """A new database in an existing folder.

        Raises:
            StoreError: When there is one already.
        """
        path = folder / DATABASE
        if path.exists():
            raise StoreError(f"{path} exists already")
        database = cls(_connect(path), clock)
        with database.transaction() as db:
            for statement in schema.TABLES.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {schema.USER_VERSION}")
            db.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
        return database

    @classmethod
    def open(cls, folder: Path, clock: Clock) -> "Database":
        """An existing database.

        Raises:
            StoreError: Missing, damaged, or written by another version.
        """
        path = folder / DATABASE
        if not path.is_file():
            raise StoreError(f"{folder} holds no {DATABASE}")
        try:
            connection = _connect(path)
            check_version(connection, path)
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        database = cls(connection, clock)
        newest = connection.execute("SELECT MAX(at) FROM events").fetchone()[0] or 0.0
        database._ahead_s = max(0.0, newest - clock.now())
        return database

    def close(self) -> None:
        """Fold the write-ahead log into the database, so that a copy needs one file."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError:
            pass  # a full disk: nothing is lost, the log stays beside the database
        finally:
            self._connection.close()

    def now(self) -> float:
        """Seconds since the epoch, never before the last entry of an earlier session: a clock that
        was set back in between does not change the order of verdicts."""
        return self._clock.now() + self._ahead_s

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """A query outside any transaction."""
        return self._connection.execute(sql, parameters)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Generator[sqlite3.Connection]:
        """All or nothing. Not `durable`: without waiting for the disk."""
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def event(
        self,
        kind: EventKind,
        *,
        agent: str | None = None,
        attempt: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Append to the journal, within the open transaction."""
        self._connection.execute(
            "INSERT INTO events VALUES (NULL,?,?,?,?,?)",
            (self.now(), kind.value, agent, attempt, rows.dump(data or {})),
        )


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what another version wrote.

    Raises:
        StoreError: When the schema is not the one this version knows.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != schema.USER_VERSION:
        raise StoreError(
            f"{path} has schema {version}; this version of harness reads {schema.USER_VERSION}"
        )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=30.0, factory=RedactingConnection
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection
