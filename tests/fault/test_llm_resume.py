"""SIGKILL at the worst instants of the `llm` agent, then go on: no submission is made twice."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, text, tool_calls

DIRECTIVES = 3

_CHILD = """
import asyncio, os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.llm import LlmAgent
from harness.attempt import Operator
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.context import LocalContext, open_context

folder, url, method, when, number = sys.argv[1:]
calls = 0


def dies(name):
    original = getattr(LocalContext, name)

    async def wrapped(self, *args, **kwargs):
        global calls
        calls += 1
        if when == "before" and calls == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        result = await original(self, *args, **kwargs)
        if when == "after" and calls == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


kind = type("Dying", (LocalContext,), {method: dies(method)} if method else {})


async def main():
    config = AgentConfig(model=ModelConfig(name="m", base_url=url))
    with ThreadPoolExecutor(4) as executor:
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        operators = [Operator.IMPROVE] * DIRECTIVES
        async with open_context(
            Path(folder), provider, config=config, operators=operators, kind=kind
        ) as context:
            await LlmAgent(config).run(context)
        await provider.close()


asyncio.run(main())
""".replace("DIRECTIVES", str(DIRECTIVES))


def counting(request: Request) -> Reply:
    """In each directive: add one to the number, submit and note it in one answer, end.

    A function of the conversation only, so it does not notice a kill.
    """
    starts = [i for i, m in enumerate(request.messages) if "# Directive" in str(m["content"])]
    since = request.messages[starts[-1] + 1 :]
    if since:
        return text("done")
    directive = len(starts)
    return tool_calls(
        ("bash", {"command": f"echo {directive + 1} > x.txt"}),
        ("submit", {"title": f"directive {directive}"}),
        ("memory_note", {"title": f"note {directive}", "text": "it counts"}),
        ids=["call_0", "call_1", "call_2"],  # not unique, as some endpoints make them
    )


def run(folder: Path, url: str, method: str = "", when: str = "", number: int = 0) -> int:
    command = [sys.executable, "-c", _CHILD, str(folder), url, method, when, str(number)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def journal(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


def assert_nothing_lost_or_doubled(folder: Path) -> None:
    attempts = journal(folder, "attempt")[1:]
    assert [attempt["title"] for attempt in attempts] == [
        f"directive {number}" for number in range(1, DIRECTIVES + 1)
    ]
    assert [attempt["verdict"]["score"] for attempt in attempts] == [2.0, 3.0, 4.0]
    assert all(attempt["duplicate_of"] is None for attempt in attempts)
    assert [note["title"] for note in journal(folder, "note")] == ["note 1", "note 2", "note 3"]
    assert [entry["number"] for entry in journal(folder, "directive")] == [1, 2, 3]
    with closing(sqlite3.connect(folder / "agents.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    ("method", "when", "number"),
    [
        ("submit", "after", 2),
        pytest.param("note", "after", 1, marks=pytest.mark.slow),
        pytest.param("assignment", "after", 2, marks=pytest.mark.slow),
        pytest.param("submit", "before", 1, marks=pytest.mark.slow),
        pytest.param("assignment", "before", 2, marks=pytest.mark.slow),
        pytest.param("assignment", "after", 1, marks=pytest.mark.slow),
        pytest.param("note", "before", 3, marks=pytest.mark.slow),
    ],
)
def test_a_kill_beside_an_effect_repeats_none(
    method: str, when: str, number: int, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with ScriptedEndpoint(counting) as endpoint:
        assert run(folder, endpoint.url, method, when, number) == -signal.SIGKILL
        before = len(endpoint.chats)
        assert run(folder, endpoint.url) == 0
        asked = Counter(json.dumps(request.messages) for request in endpoint.chats)
    assert_nothing_lost_or_doubled(folder)
    assert before < sum(asked.values())
    assert max(asked.values()) == 1, "an answer that was checkpointed was asked for again"


@pytest.mark.slow
def test_kills_at_random_instants_repeat_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rng = random.Random(7)
    killed = 0
    with ScriptedEndpoint(counting) as endpoint:
        for _ in range(12):
            command = [sys.executable, "-c", _CHILD, str(folder), endpoint.url, "", "", "0"]
            with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
                wait_for_a_sign_of_life(child, endpoint, rng.uniform(0, 0.2))
                child.kill()
                killed += child.wait() == -signal.SIGKILL
        assert killed > 0
        assert run(folder, endpoint.url) == 0
    assert_nothing_lost_or_doubled(folder)


def wait_for_a_sign_of_life(
    child: "subprocess.Popen[bytes]", endpoint: ScriptedEndpoint, then_s: float
) -> None:
    """Until the child asks something or ends, at most 5 s; then a little longer."""
    before = len(endpoint.chats)
    for _ in range(100):
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            if len(endpoint.chats) > before:
                break
        else:
            return
    try:
        child.wait(then_s)
    except subprocess.TimeoutExpired:
        return
