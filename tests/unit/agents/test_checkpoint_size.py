"""A thread of days: what it takes on disk, and what a resume has to read of it."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, StateGraph

from harness.agents.llm.state import SNAPSHOT_UPDATES, State

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def thread(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A thousand turns at 4 kB a message, made by the benchmark: its figures and the file."""
    kept = tmp_path_factory.mktemp("thread") / "agents.db"
    command = [sys.executable, "-m", "benchmarks.checkpoints", "--keep", str(kept)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=900, check=True)
    return json.loads(done.stdout), kept


def nothing(state: State) -> dict[str, Any]:
    return {}


async def state_of(database: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values and metadata of agent-1's last checkpoint."""
    builder: Any = StateGraph(State)
    builder.add_node("assign", nothing)
    builder.add_edge(START, "assign")
    async with aiosqlite.connect(database) as connection:
        graph = builder.compile(checkpointer=AsyncSqliteSaver(connection))
        snapshot = await graph.aget_state({"configurable": {"thread_id": "agent-1"}})
    return dict(snapshot.values), dict(snapshot.metadata)


@pytest.mark.slow
def test_a_thousand_turns_stay_below_20_mb(thread: tuple[dict[str, Any], Path]) -> None:
    figures, database = thread
    assert figures["turns"] == 1000
    assert figures["steps"] > 2000
    assert database.stat().st_size < 20_000_000
    assert 10 < figures["messages_after_resume"] < 200, "it went on within a compacted context"


@pytest.mark.slow
async def test_a_resume_reads_back_no_further_than_the_last_snapshot(
    thread: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    _, whole = thread
    values, metadata = await state_of(whole)
    updates, steps = metadata["counters_since_delta_snapshot"]["messages"]
    assert updates < SNAPSHOT_UPDATES
    assert len(values["messages"]) > 10
    cut = tmp_path / "cut.db"
    shutil.copy(whole, cut)
    with closing(sqlite3.connect(cut)) as connection, connection:
        (oldest,) = connection.execute(
            "SELECT checkpoint_id FROM checkpoints ORDER BY checkpoint_id DESC LIMIT 1 OFFSET ?",
            (steps + 1,),
        ).fetchone()
        removed = connection.execute("DELETE FROM checkpoints WHERE checkpoint_id < ?", (oldest,))
        assert removed.rowcount > 500, "the snapshot is near the end of the thread"
        connection.execute("DELETE FROM writes WHERE checkpoint_id < ?", (oldest,))
    assert (await state_of(cut))[0] == values
