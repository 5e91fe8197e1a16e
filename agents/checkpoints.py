"""Checkpoints of agents' conversations in `agents.db`, outside of LangGraph."""

import sqlite3
from contextlib import closing
from pathlib import Path

_LOCK_TIMEOUT_S = 60.0
_TABLES = ("checkpoints", "writes")


def copy_thread(database: Path, source: str, target: str) -> bool:
    """Copy an agent's threads (`source` and `source/…`) to another agent, in one transaction.

    Returns whether there was anything to copy; an agent that has threads already is left as it is.
    Blocking: called in a pool.
    """
    if not database.is_file():
        return False
    with closing(sqlite3.connect(database, timeout=_LOCK_TIMEOUT_S)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        if _threads(connection, target):
            return False
        threads = _threads(connection, source)
        for thread in threads:
            for table in _TABLES:
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                others = ", ".join(name for name in names if name != "thread_id")
                connection.execute(
                    f"INSERT INTO {table} (thread_id, {others})"
                    f" SELECT ?, {others} FROM {table} WHERE thread_id = ?",
                    (target + thread.removeprefix(source), thread),
                )
        return bool(threads)


def _threads(connection: sqlite3.Connection, agent: str) -> list[str]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    if not {row[0] for row in tables}.issuperset(_TABLES):
        return []
    found = connection.execute("SELECT DISTINCT thread_id FROM checkpoints").fetchall()
    return [row[0] for row in found if row[0] == agent or row[0].startswith(f"{agent}/")]
