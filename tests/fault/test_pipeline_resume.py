"""SIGKILL at each step of the `pipeline` agent, then go on: no effect happens twice."""

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

from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, text
from harness.testing.pipeline_behaviour import asked, block, question, shown_files

DIRECTIVES = 2

_CHILD = """
import asyncio, os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.pipeline.agent import PipelineAgent
from harness.attempt import Operator
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.context import DEFAULT_TASK, LocalContext, open_context

folder, url, method, when, number = sys.argv[1:]
calls = 0


def count(moment):
    global calls
    calls += moment == "before"
    if when == moment and calls == int(number):
        os.kill(os.getpid(), signal.SIGKILL)


def dies(name):
    original = getattr(LocalContext, name)

    async def waited(self, *args, **kwargs):
        count("before")
        result = await original(self, *args, **kwargs)
        count("after")
        return result

    def at_once(self, *args, **kwargs):
        count("before")
        result = original(self, *args, **kwargs)
        count("after")
        return result

    return at_once if name == "log" else waited


kind = type("Dying", (LocalContext,), {method: dies(method)} if method else {})


async def main():
    config = AgentConfig(model=ModelConfig(name="m", base_url=url))
    task = replace(DEFAULT_TASK, produce=("sh", "run.sh"), submission=("x.txt", "run.sh"))
    seed = {"x.txt": b"1\\n", "run.sh": b"grep -q bad x.txt && exit 1 || exit 0\\n"}
    with ThreadPoolExecutor(4) as executor:
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        async with open_context(
            Path(folder), provider, config=config, operators=[Operator.IMPROVE] * DIRECTIVES,
            kind=kind, task=task, seed=seed,
        ) as context:
            await PipelineAgent(config).run(context)
        await provider.close()


asyncio.run(main())
""".replace("DIRECTIVES", str(DIRECTIVES))


def counting(request: Request) -> Reply:
    """Adds one to the number; at first in a form that does not run, so that it is repaired.

    A function of the question only, so it does not notice a kill.
    """
    stage, number, _ = asked(request)
    if stage in ("Plan", "Refine the plan"):
        return text(f"Title: directive {number}\nIdea: count.\nFiles:\n- x.txt: the number")
    if stage == "Change the files":
        old = shown_files(question(request))["x.txt"].strip()
        new = f"{number + 1}" if "bad" in old else f"bad {number + 1}"
        return text(block("x.txt", [old], [new]))
    return text("Verdict: OK" if stage == "Review" else "Finding: it counts.")


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
    assert [attempt["title"] for attempt in attempts] == ["directive 1", "directive 2"]
    assert [attempt["verdict"]["score"] for attempt in attempts] == [2.0, 3.0]
    assert all(attempt["duplicate_of"] is None for attempt in attempts)
    assert [note["title"] for note in journal(folder, "note")] == ["directive 1", "directive 2"]
    assert [entry["number"] for entry in journal(folder, "directive")] == [1, 2]
    with closing(sqlite3.connect(folder / "agents.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def slow(method: str, when: str, number: int) -> Any:
    return pytest.param(method, when, number, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("method", "when", "number"),
    [
        slow("submit", "after", 1),
        slow("submit", "before", 2),
        slow("note", "before", 1),
        slow("note", "after", 1),
        slow("assignment", "before", 2),
        slow("assignment", "after", 1),
        slow("assignment", "after", 2),
        slow("try_out", "before", 1),
        slow("try_out", "after", 1),
        slow("try_out", "after", 2),
        slow("recall", "after", 2),
        # Between work and checkpoint: plan, choose, diff, review, check, repair, check,
        # submit, analyse.
        *(slow("log", "after", number) for number in (3, 4, 6, 8, 9, 11, 12, 13, 15)),
    ],
)
def test_a_kill_repeats_no_effect_and_no_answered_question(
    method: str, when: str, number: int, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with ScriptedEndpoint(counting) as endpoint:
        assert run(folder, endpoint.url, method, when, number) == -signal.SIGKILL
        assert run(folder, endpoint.url) == 0
        asked_for = Counter(json.dumps(request.messages) for request in endpoint.chats)
    assert_nothing_lost_or_doubled(folder)
    # Only a call whose answer was not checkpointed yet may be made again: the one cut off.
    again = [count for count in asked_for.values() if count > 1]
    assert again in ([], [2])
    assert method == "log" or not again


@pytest.mark.slow
def test_kills_at_random_instants_repeat_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rng = random.Random(11)
    killed = 0
    with ScriptedEndpoint(counting) as endpoint:
        for _ in range(10):
            command = [sys.executable, "-c", _CHILD, str(folder), endpoint.url, "", "", "0"]
            before = len(endpoint.chats)
            with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
                for _ in range(100):
                    if child.poll() is not None or len(endpoint.chats) > before:
                        break
                    wait(child, 0.05)
                wait(child, rng.uniform(0, 0.3))
                child.kill()
                killed += child.wait() == -signal.SIGKILL
        assert killed > 0
        assert run(folder, endpoint.url) == 0
    assert_nothing_lost_or_doubled(folder)


def wait(child: "subprocess.Popen[bytes]", seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return
