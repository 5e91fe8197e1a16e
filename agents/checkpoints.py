"""Checkpoints of agents' conversations in `agents.db`, outside of LangGraph."""

import sqlite3
from contextlib import closing
from pathlib import Path

_LOCK_TIMEOUT_S = 60.0


def copy_thread(database: Path, source: str, target: str) -> bool:
    """Copy a thread's checkpoints to another thread id, in one transaction.

    Returns whether there was anything to copy; a thread that exists already is left as it is.
    Blocking: called in a pool.
    """
    if not database.is_file():
        return False
    with closing(sqlite3.connect(database, timeout=_LOCK_TIMEOUT_S)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        tables = ("checkpoints", "writes")
        known = {
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        }
        if not known.issuperset(tables):
            return False
        there = connection.execute(
            "SELECT 1 FROM checkpoints WHERE thread_id = ? LIMIT 1", (target,)
        )
        if there.fetchone() is not None:
            return False
        copied = 0
        for table in tables:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            others = ", ".join(name for name in names if name != "thread_id")
            copied += connection.execute(
                f"INSERT INTO {table} (thread_id, {others})"
                f" SELECT ?, {others} FROM {table} WHERE thread_id = ?",
                (target, source),
            ).rowcount
        return copied > 0
