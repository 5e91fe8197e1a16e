"""Size of a long thread's checkpoints, and what its resume costs.

    python -m benchmarks.checkpoints [--turns 1000] [--bytes 4096]

The agent's own graph (`DeltaChannel` messages, every step synced to a real SQLite file) runs
against a scripted model over HTTP: `--turns` answers and as many tool results of `--bytes` each, in
directives of 100 turns, the context compacted as for any model of 128k tokens. Then the process's
part of a resume: open the file, read the state, take the next step.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.llm import LlmAgent
from harness.attempt import Operator
from harness.errors import ModelRefusedError
from harness.sandbox.base import SandboxProvider
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.context import open_context
from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, text, tool_calls

TURNS_PER_DIRECTIVE = 100
SUMMARY = "Nothing but reading so far; no decisions, no numbers, and no hypotheses that are open."


def reader(turns: int, size: int) -> Any:
    """A model that thinks `size` characters and reads as many, `turns` times; then stops."""
    thought = ("all work and no play " * (size // 21 + 1))[:size]
    asked = 0

    def behave(request: Request) -> Reply:
        nonlocal asked
        if "tools" not in request.body:
            return text(SUMMARY)
        asked += 1
        if asked > turns:
            return Reply(status=401, body={"error": {"message": "the script is over"}})
        return tool_calls(("read", {"path": "x.txt"}), content=thought)

    return behave


async def fill(folder: Path, provider: SandboxProvider, turns: int, size: int) -> None:
    """Let an agent have `turns` turns; it ends without having come to an end, as when killed."""
    with ScriptedEndpoint(reader(turns, size)) as endpoint:
        config = configured(endpoint.url)
        async with open_context(
            folder,
            provider,
            config=config,
            operators=[Operator.IMPROVE] * (turns // TURNS_PER_DIRECTIVE + 1),
            seed={"x.txt": b"x" * size},
        ) as context:
            with contextlib.suppress(ModelRefusedError):  # so the script ends the agent
                await LlmAgent(config).run(context)


async def resume(folder: Path, provider: SandboxProvider) -> tuple[float, int]:
    """Seconds from opening the file to the next request, and the messages in it."""
    asked: list[tuple[float, int]] = []

    def stop(request: Request) -> Reply:
        asked.append((time.perf_counter(), len(request.messages)))
        return Reply(status=401, body={"error": {"message": "the script is over"}})

    with ScriptedEndpoint(stop) as endpoint:
        config = configured(endpoint.url)
        async with open_context(
            folder, provider, config=config, operators=[Operator.IMPROVE] * 1000
        ) as context:
            began = time.perf_counter()
            with contextlib.suppress(ModelRefusedError):  # so the script ends the agent
                await LlmAgent(config).run(context)
    return asked[0][0] - began, asked[0][1]


def configured(url: str) -> AgentConfig:
    """The agent as it is by default, but for the turns."""
    model = ModelConfig(name="scripted", base_url=url)
    return AgentConfig(model=model, max_turns=TURNS_PER_DIRECTIVE)


def size_on_disk(database: Path) -> int:
    """Bytes of the file and its log, after what SQLite does when it is closed."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return sum(file.stat().st_size for file in database.parent.glob(f"{database.name}*"))


async def measure(turns: int, size: int, keep: Path | None = None) -> dict[str, Any]:
    """Both figures; `keep` is where the file is copied to before the resume."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(4) as executor,
    ):
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        run = Path(folder) / "run"
        began = time.perf_counter()
        await fill(run, provider, turns, size)
        filled_s = time.perf_counter() - began
        database = run / "agents.db"
        stored = size_on_disk(database)
        if keep is not None:
            shutil.copy(database, keep)
        with closing(sqlite3.connect(database)) as connection:
            (steps,) = connection.execute("SELECT count(*) FROM checkpoints").fetchone()
        resume_s, messages = await resume(run, provider)
        await provider.close()
    return {
        "turns": turns,
        "message_bytes": size,
        "steps": steps,
        "database_mb": round(stored / 1e6, 2),
        "resume_s": round(resume_s, 3),
        "messages_after_resume": messages,
        "turn_ms": round(1000 * filled_s / turns, 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints")
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=4096, help="of each message")
    parser.add_argument("--keep", type=Path, help="copy the file to this path")
    options = parser.parse_args(arguments)
    figures = asyncio.run(measure(options.turns, options.bytes, options.keep))
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
