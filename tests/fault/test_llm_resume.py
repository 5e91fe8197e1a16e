"""SIGKILL at the worst instants of the `llm` agent, then go on: no submission is made twice."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.testing.endpoint import (
    Behaviour,
    Reply,
    Request,
    ScriptedEndpoint,
    text,
    tool_calls,
)

DIRECTIVES = 3

_CHILD = """
import asyncio, json, os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.llm import LlmAgent
from harness.attempt import Operator
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.context import LocalContext, open_context

folder, url, method, when, number = sys.argv[1:6]
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
    options = json.loads(sys.argv[6]) if len(sys.argv) > 6 else {}
    model = ModelConfig(name="m", base_url=url, **options.pop("model", {}))
    config = AgentConfig(model=model, **options)
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


class Child:
    """The agent in a process of its own, which the endpoint may kill at a request."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._command = [sys.executable, "-c", _CHILD, str(folder), "", "", "", "0"]
        self._options = json.dumps(options)
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, url: str) -> int:
        command = [*self._command, self._options]
        command[4] = url
        with subprocess.Popen(command, stderr=subprocess.PIPE) as self._process:
            _, errors = self._process.communicate(timeout=120)
        assert self._process.returncode in (0, -signal.SIGKILL), errors.decode()
        return self._process.returncode

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


def killed_once(folder: Path, script: "Killing", **options: Any) -> list[Request]:
    """Run, be killed, run again to the end; the chat requests."""
    child = Child(folder, **options)
    script.child = child
    with ScriptedEndpoint(script) as endpoint:
        assert child.run(endpoint.url) == -signal.SIGKILL
        assert child.run(endpoint.url) == 0
        return endpoint.chats


class Killing:
    """A behaviour that kills the agent once, when it is asked what `when` says."""

    def __init__(self, behave: Behaviour, when: Callable[[Request], bool]) -> None:
        self.child: Child | None = None
        self._behave = behave
        self._when = when
        self._killed = False

    def __call__(self, request: Request) -> Reply:
        if not self._killed and self._when(request):
            self._killed = True
            assert self.child is not None
            self.child.kill()
        return self._behave(request)


def tools(request: Request) -> list[str]:
    return [str(m["content"]) for m in request.messages if m["role"] == "tool"]


@pytest.mark.slow
def test_a_command_that_a_kill_interrupted_is_repeated_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    log = folder / "workspace" / "log"
    child = Child(folder, max_turns=3)

    def behave(request: Request) -> Reply:
        return (
            text("done")
            if tools(request)
            else tool_calls(
                ("bash", {"command": "export A=1"}),
                ("bash", {"command": "echo $A >> log; while [ ! -e go ]; do sleep 0.05; done"}),
                ("bash", {"command": "cat log"}),
            )
        )

    def kill_in_the_middle() -> None:
        for _ in range(1200):
            if log.exists():
                break
            time.sleep(0.05)
        child.kill()
        (log.parent / "go").touch()

    with ScriptedEndpoint(behave) as endpoint:
        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        assert child.run(endpoint.url) == -signal.SIGKILL
        killer.join()
        assert child.run(endpoint.url) == 0
        first, second, third = tools(endpoint.chats[-1])[:3]
    assert "repeated" not in first
    assert "(this call was repeated after a restart; its first run may have had effects" in second
    assert third.startswith("1\n1\n"), "it ran twice, with the variable carried over"
    assert "repeated" not in third


@pytest.mark.slow
def test_a_kill_in_mid_compaction_leaves_the_old_conversation(tmp_path: Path) -> None:
    def is_summary(request: Request) -> bool:
        return "You write the summary" in str(request.messages[0]["content"])

    def behave(request: Request) -> Reply:
        if is_summary(request):
            return text("So far I have counted, and nothing else of note happened at all.")
        if request.messages[-1]["role"] == "user":
            command = {"command": f"echo {request.number} > x.txt"}
            return tool_calls(("bash", command), ("submit", {"title": f"n{request.number}"}))
        if len(request.messages) < 40:
            return tool_calls(("bash", {"command": "seq 1 700"}))
        return text("done")

    folder = tmp_path / "run"
    options: dict[str, Any] = {
        "model": {"context_tokens": 16_000, "max_output_tokens": 1000},
        "max_turns": 8,
    }
    chats = killed_once(folder, Killing(behave, is_summary), **options)
    asked = [request.messages for request in chats if is_summary(request)]
    assert asked[0] == asked[1], "the same turns are summarised again"
    after = chats[chats.index(next(r for r in chats if r.messages == asked[1])) + 1 :]
    assert "So far I have counted" in str(next(r for r in after if not is_summary(r)).messages)
    titles = [attempt["title"] for attempt in journal(folder, "attempt")[1:]]
    assert len(titles) == len(set(titles)) >= DIRECTIVES
    assert [entry["number"] for entry in journal(folder, "directive")] == [1, 2, 3]


@pytest.mark.slow
def test_background_jobs_and_verdicts_not_told_are_remembered(tmp_path: Path) -> None:
    def behave(request: Request) -> Reply:
        if request.number == 1:
            return tool_calls(
                ("bash", {"command": "sleep 60", "background": "train"}),
                ("bash", {"command": "echo 2 > x.txt"}),
                ("submit", {"title": "two", "wait": False}),
            )
        if request.number == 3:
            return tool_calls(("results", {}), ("submit", {"title": "two"}))
        return text("done")

    killing = Killing(behave, lambda request: request.number == 2)
    chats = killed_once(tmp_path / "run", killing)
    asked = chats[2].messages
    assert "background jobs are gone: train" in str(asked)
    results = tools(chats[3])[-2:]
    assert results[0].startswith("Attempt 1: scored.")
    assert results[1].startswith("Attempt 2: duplicate of 1")
    assert [a["title"] for a in journal(tmp_path / "run", "attempt")[1:3]] == ["two", "two"]
