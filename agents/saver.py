"""Where LangGraph keeps its checkpoints: SQLite, written on the event loop.

LangGraph's own asynchronous saver hands every statement to a thread of its connection, one for each
agent; writing a checkpoint takes less time than going there and back.
"""

import sqlite3
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.sqlite import SqliteSaver

_LOCK_TIMEOUT_S = 60.0


class LoopSaver(SqliteSaver):
    """The synchronous saver under the asynchronous names. Belongs to one event loop."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the base class's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for each in self.list(config, filter=filter, before=before, limit=limit):
            yield each

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        self.put_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        self.delete_thread(thread_id)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, Any]:
        return self.get_delta_channel_history(config=config, channels=channels)

    def keep_last(self, thread: str) -> None:
        """Remove all but the thread's last checkpoint, where that one holds the whole state."""
        last = "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = :thread)"
        with self.cursor() as cursor:
            for table in ("checkpoints", "writes"):
                cursor.execute(
                    f"DELETE FROM {table} WHERE thread_id = :thread AND checkpoint_id < {last}",
                    {"thread": thread},
                )


@contextmanager
def open_checkpoints(path: Path) -> Generator[LoopSaver]:
    """The checkpoints of a run's agents.

    SIGKILL undoes no step that was finished. A power failure may undo the last ones: they are done
    once more, and what had an effect outside the agent is known by its key in the run's store.
    """
    connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        yield LoopSaver(connection)
    finally:
        connection.close()
