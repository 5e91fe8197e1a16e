"""How the checkpoints' file stays small."""

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver


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
