"""The memory's database: its tables and how it is opened."""

import fcntl
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from harness.errors import StoreError
from harness.memory.words import index_all
from harness.redact import RedactingConnection

VERSION = 2
BUSY_TIMEOUT_S = 30.0

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
    task TEXT NOT NULL, run TEXT NOT NULL, agent TEXT NOT NULL,
    created_at REAL NOT NULL, attempt TEXT, score REAL, outcome TEXT NOT NULL, data TEXT NOT NULL,
    audience TEXT NOT NULL DEFAULT 'task', length INTEGER NOT NULL DEFAULT 0, retired TEXT
);
CREATE INDEX records_for_all ON records (audience) WHERE audience = 'global';
CREATE INDEX records_by_task ON records (task);
CREATE INDEX records_by_run ON records (run);
CREATE TABLE embedders (
    number INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE,
    dimensions INTEGER NOT NULL, noise REAL NOT NULL, floor REAL NOT NULL
);
CREATE TABLE vectors (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL REFERENCES records, embedder INTEGER NOT NULL REFERENCES embedders,
    vector BLOB NOT NULL,
    UNIQUE (seq, embedder)
);
CREATE TABLE log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL, op TEXT NOT NULL, run TEXT NOT NULL, agent TEXT NOT NULL,
    query TEXT NOT NULL, attempt TEXT, detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX log_by_run ON log (run, agent);
CREATE UNIQUE INDEX one_credit ON log (run, agent, attempt) WHERE op = 'credit';
CREATE INDEX not_served ON log (run, agent) WHERE op = 'recall' AND attempt IS NULL;
CREATE TABLE shown (
    entry INTEGER NOT NULL REFERENCES log, rank INTEGER NOT NULL,
    seq INTEGER NOT NULL REFERENCES records, score REAL NOT NULL,
    PRIMARY KEY (entry, rank)
) WITHOUT ROWID;
CREATE TABLE uses (
    seq INTEGER NOT NULL REFERENCES records, outcome TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (seq, outcome)
) WITHOUT ROWID;
CREATE TABLE tuning (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL, weights TEXT NOT NULL, reason TEXT NOT NULL
);
"""
# Records never change but for `retired` (why a record is no longer recalled), so `shown` refers to
# them instead of repeating their text.

_LEXICAL = """
CREATE VIRTUAL TABLE lexical USING fts5 (
    title, one, two, some, many, place, content='', detail=column, tokenize='porter unicode61'
);
"""
# It keeps no text: it is fed the words of a record by its writer (harness.memory.text), so that
# text and query are cut alike. `place` holds the task and the run, hashed. The column says how
# often a record has the word, which FTS5 would only tell with the place of each word (a third more
# space) and weighed by the whole table, so that other runs would change what a run recalls.
# `words.BUCKETS` has the counts.

_FROM_1 = """
ALTER TABLE records ADD COLUMN length INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN retired TEXT;
ALTER TABLE records ADD COLUMN audience TEXT NOT NULL DEFAULT 'task';
CREATE INDEX records_for_all ON records (audience) WHERE audience = 'global';
ALTER TABLE embedders ADD COLUMN noise REAL NOT NULL DEFAULT 0;
ALTER TABLE log ADD COLUMN detail TEXT NOT NULL DEFAULT '';
CREATE INDEX not_served ON log (run, agent) WHERE op = 'recall' AND attempt IS NULL;
CREATE TABLE tuning (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL, weights TEXT NOT NULL, reason TEXT NOT NULL
);
DROP TABLE lexical;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open for writing; made if missing. How durable a write is, the store says at each.

    Raises:
        StoreError: Written by a newer version, or not a memory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(str(path), uri=False)
    try:
        if _version(connection, path) < VERSION:
            _bring_up(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_readonly(path: Path) -> sqlite3.Connection:
    """Open for reading only, also while others write and in folders that cannot be written.

    Raises:
        FileNotFoundError: No memory there.
        StoreError: Written by a newer version, or not a memory.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    uri = path.absolute().as_uri()
    wal = path.with_name(path.name + "-wal")
    if os.access(path.parent, os.W_OK) and os.access(path, os.W_OK):
        connection = _connect(uri + "?mode=rw", uri=True)
    elif wal.is_file() and wal.stat().st_size > 0:
        connection = _with_wal(path, wal)
    else:
        connection = _connect(uri + "?immutable=1", uri=True)
    try:
        connection.execute("PRAGMA query_only=ON")
        made = _version(connection, path)
    except BaseException:
        connection.close()
        raise
    if made == VERSION:
        return connection
    connection.close()
    if made == 0:
        raise StoreError(f"{path} is not a memory")
    raise StoreError(
        f"{path} was written by an older version (format {made}, known {VERSION}); "
        "`harness memory reindex` brings it up to date"
    )


def _with_wal(path: Path, wal: Path) -> sqlite3.Connection:
    """A write-ahead log in a folder that cannot be written: read through, else from a copy."""
    connection = _connect(path.absolute().as_uri() + "?mode=ro", uri=True)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        connection.close()
    else:
        return connection
    with tempfile.TemporaryDirectory(prefix="harness-memory-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(wal, copy.with_name(wal.name))
        source = _connect(str(copy), uri=False)
        target = _connect(":memory:", uri=False)
        source.backup(target)
        source.close()
    return target


def _connect(name: str, *, uri: bool) -> sqlite3.Connection:
    # Callers hold a lock around each use, so the connection may move between threads.
    return sqlite3.connect(
        name,
        uri=uri,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        factory=RedactingConnection,
    )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} cannot be read as a memory: {error}") from error
    if version > VERSION:
        raise StoreError(
            f"{path} was written by a newer version (format {version}, known {VERSION})"
        )
    return version


def _bring_up(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring those of an older version up to this one."""
    # Several processes may start on one new folder; SQLite does not wait while the journal mode
    # changes, so the first one is let through alone.
    with path.with_name("memory.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        version = _version(connection, path)
        if version >= VERSION:
            return
        connection.execute("PRAGMA journal_mode=WAL")
        script = (_TABLES if version == 0 else _FROM_1) + _LEXICAL
        try:
            connection.executescript(f"BEGIN IMMEDIATE;{script}")
            index_all(connection)
            connection.execute(f"PRAGMA user_version={VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
