"""Checkpoints written earlier stay readable: LangGraph's DeltaChannel is marked beta.

`golden/agents.db` was written by langgraph 1.2.22 and langgraph-checkpoint-sqlite 3.1.2, and
`golden/messages.json` is what the agent's conversation was at its end. Made by running this file
as a script; make it again only when old runs need no longer be resumed.
"""

import asyncio
import json
import shutil
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, StateGraph

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.llm import LlmAgent
from harness.agents.llm.state import State
from harness.attempt import Operator
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.context import open_context
from harness.testing.endpoint import ScriptedEndpoint, tool_call

GOLDEN = Path(__file__).parent / "golden"


def nothing(state: State) -> dict[str, Any]:
    """A node that changes nothing."""
    return {}


async def conversation(database: Path) -> list[dict[str, Any]]:
    """The messages of agent-1 at its last checkpoint."""
    builder: Any = StateGraph(State)
    builder.add_node("assign", nothing)
    builder.add_edge(START, "assign")
    async with aiosqlite.connect(database) as connection:
        graph = builder.compile(checkpointer=AsyncSqliteSaver(connection))
        snapshot = await graph.aget_state({"configurable": {"thread_id": "agent-1"}})
    return list(snapshot.values["messages"])


async def test_an_old_checkpoint_gives_the_conversation_it_held(tmp_path: Path) -> None:
    database = tmp_path / "agents.db"
    shutil.copy(GOLDEN / "agents.db", database)
    messages = await conversation(database)
    assert messages == json.loads((GOLDEN / "messages.json").read_text(encoding="utf-8"))
    kinds = {message.get("harness", message["role"]) for message in messages}
    assert kinds == {"directive", "summary", "assistant", "tool", "reminder"}
    assert "characters removed" in str(messages), "no trimmed output is covered"


async def make(folder: Path) -> None:
    """Write the golden files; `folder` is an empty one to work in."""
    operators = [Operator.IMPROVE, Operator.TUNE]
    seed = {"x.txt": b"1\n" * 90}
    with (
        ThreadPoolExecutor(4) as executor,
        ScriptedEndpoint(lambda _: tool_call("read", path="x.txt")) as endpoint,
    ):
        model = ModelConfig(name="m", base_url=endpoint.url, context_tokens=8000)
        config = AgentConfig(model=model, max_turns=12)
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        async with open_context(
            folder, provider, config=config, operators=operators, seed=seed
        ) as context:
            await LlmAgent(config).run(context)
        await provider.close()
    with closing(sqlite3.connect(folder / "agents.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
    GOLDEN.mkdir(exist_ok=True)
    shutil.copy(folder / "agents.db", GOLDEN / "agents.db")
    messages = json.dumps(await conversation(folder / "agents.db"), indent=1) + "\n"
    (GOLDEN / "messages.json").write_text(messages, encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(make(Path(scratch)))
