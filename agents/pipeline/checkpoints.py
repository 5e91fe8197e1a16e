"""The checkpoints' file, and how it stays small."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

_LOCK_TIMEOUT_S = 60.0


@asynccontextmanager
async def open_checkpoints(path: Path) -> AsyncGenerator[AsyncSqliteSaver]:
    """A saver on the run's file, which other agents of the run have open too."""
    # Changing the journal mode does not wait for locks. Done here, in one go without giving up the
    # event loop, the agents of a run cannot get in each other's way.
    with closing(sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    async with aiosqlite.connect(path, timeout=_LOCK_TIMEOUT_S) as connection:
        yield AsyncSqliteSaver(connection)


async def prune(saver: AsyncSqliteSaver, thread: str) -> None:
    """Keep only the thread's last checkpoint: each holds the whole state, files included."""
    last = "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = :thread)"
    async with saver.lock:
        for table in ("checkpoints", "writes"):
            await saver.conn.execute(
                f"DELETE FROM {table} WHERE thread_id = :thread AND checkpoint_id < {last}",
                {"thread": thread},
            )
        await saver.conn.commit()
