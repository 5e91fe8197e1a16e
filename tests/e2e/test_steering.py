"""A live run is paused, told, changed from another process: `pause | resume | tell | set`."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli

from harness.run.folder import RunFolder, live_process
from harness.testing.behaviours import improver
from harness.testing.endpoint import ScriptedEndpoint

pytestmark = pytest.mark.slow

LAUNCH = (
    "launch",
    "circle_packing",
    "--sandbox",
    "process",
    "--evals",
    "5000",
    "--detach",
    "--json",
)
PATIENCE_S = 120.0


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(improver, key="key") as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "key"}
        yield server


@pytest.fixture
def start(cli: Cli) -> Iterator[Callable[..., str]]:
    """Launches detached (a pipe that nobody empties would hold the run up); gives the run."""
    started: list[dict[str, Any]] = []

    def begin(*arguments: str) -> str:
        record: dict[str, Any] = json.loads(cli(*LAUNCH, *arguments).stdout)
        started.append(record)
        return str(record["run"])

    yield begin
    for record in started:
        if live_process(RunFolder(Path(record["path"]))) == record["pid"]:
            os.kill(record["pid"], signal.SIGKILL)


def _until(cli: Cli, run: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first status that fulfils the condition."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status: dict[str, Any] = cli.json("status", run)
        if condition(status):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.2)


def _agent(status: dict[str, Any], name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [a for a in status["agents"] if a["agent"] == name]
    assert len(found) == 1
    return found[0]


def _end(cli: Cli, run: str) -> dict[str, Any]:
    """Stop the run; its `done` record."""
    cli("stop", run)
    return _done(cli, run)


def _done(cli: Cli, run: str) -> dict[str, Any]:
    _until(cli, run, lambda status: status["state"] != "running")
    log = cli.folder / "runs" / run / "launch.log"
    done: dict[str, Any] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return done


def _refused(cli: Cli, *arguments: str) -> str:
    stderr = cli(*arguments, code=2).stderr
    lines = [line.strip() for line in stderr.splitlines()]
    assert "Traceback" not in stderr
    assert "did not answer" not in stderr
    assert lines[-3].startswith("error: ")
    assert lines[-2].startswith("expected: "), stderr
    assert lines[-1].startswith("to do:"), stderr
    return stderr


def test_one_agent_is_paused_and_goes_on(cli: Cli, start: Callable[..., str]) -> None:
    run = start("--agents", "2")
    _until(cli, run, lambda s: s["evaluations"] >= 4)
    assert "agent-1" in cli.json("pause", run, "agent-1")["answer"]
    held = _agent(_until(cli, run, lambda s: _agent(s, "agent-1")["state"] == "paused"), "agent-1")[
        "attempts"
    ]
    seen = _agent(cli.json("status", run), "agent-2")["attempts"]
    status = _until(cli, run, lambda s: _agent(s, "agent-2")["attempts"] >= seen + 5)
    assert _agent(status, "agent-1")["attempts"] == held
    assert _agent(status, "agent-1")["state"] == "paused"
    assert status["paused"] is False, "the run goes on"
    cli("resume", run, "agent-1")
    _until(cli, run, lambda s: _agent(s, "agent-1")["attempts"] > held)
    _refused(cli, "resume", run, "agent-1")
    assert "agent-9" in _refused(cli, "pause", run, "agent-9")
    _end(cli, run)


def test_the_whole_run_is_paused_and_goes_on(cli: Cli, start: Callable[..., str]) -> None:
    run = start("--agents", "2")
    _until(cli, run, lambda s: s["evaluations"] >= 4)
    cli("pause", run)
    status = _until(cli, run, lambda s: all(a["state"] == "paused" for a in s["agents"]))
    assert status["paused"] is True
    held = status["evaluations"]
    assert "paused" in cli("status", run).stdout
    watching = cli.start("status", run, "--watch", "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["evaluations"] == held
    cli("resume", run)
    _until(cli, run, lambda s: s["evaluations"] > held + 2 and not s["paused"])
    done = _end(cli, run)
    assert done["reason"] == "stopped"
    stdout, _ = watching.communicate(timeout=PATIENCE_S)
    assert json.loads(stdout.splitlines()[-1])["state"] == "ended"


def test_a_paused_run_can_be_stopped(cli: Cli, start: Callable[..., str]) -> None:
    run = start("--agents", "2")
    _until(cli, run, lambda s: s["evaluations"] >= 3)
    cli("pause", run)
    _until(cli, run, lambda s: all(a["state"] == "paused" for a in s["agents"]))
    assert _end(cli, run)["reason"] == "stopped"
    # A pause does not outlive the process: the resumed run works.
    total = cli.json("status", run)["evaluations"] + 2
    assert cli.launch("resume", run, "--evals", str(total))[-1]["evaluations"] == total


def test_what_is_told_reaches_whom_it_is_for(
    cli: Cli, endpoint: ScriptedEndpoint, start: Callable[..., str]
) -> None:
    run = start("--agents", "2", "--model", "scripted", "--unsafe", "--memory", "run")
    _until(cli, run, lambda s: s["evaluations"] >= 3)
    cli("tell", run, "agent-1", "think of KUMQUATS")
    cli("tell", run, "and all of MEDLARS")
    seen = cli.json("status", run)["evaluations"]
    _until(cli, run, lambda s: s["evaluations"] >= seen + 6)
    assert "agent-9" in _refused(cli, "tell", run, "agent-9", "hello")
    status = cli.json("status", run)
    assert any(
        event["kind"] == "command" and "KUMQUATS" in event["text"] for event in status["events"]
    )
    _end(cli, run)

    def told(agent: str) -> str:
        return cli("transcript", run, agent, "--full").stdout

    assert "think of KUMQUATS" in told("agent-1")
    assert "KUMQUATS" not in told("agent-2")
    assert "MEDLARS" in told("agent-1")
    assert "MEDLARS" in told("agent-2")
    sent = [json.dumps(chat.body["messages"]) for chat in endpoint.chats]
    assert any("KUMQUATS" in text for text in sent), "the model was told"


def test_a_model_that_the_endpoint_does_not_know_is_refused(
    cli: Cli, endpoint: ScriptedEndpoint, start: Callable[..., str]
) -> None:
    run = start("--agents", "1", "--model", "scripted", "--unsafe")
    _until(cli, run, lambda s: s["evaluations"] >= 2)
    assert "'typo'" in _refused(cli, "set", run, "agent.model.name=typo")
    cli("set", run, "agent.model.temperature=0.5")
    _until(cli, run, lambda s: any(c.body.get("temperature") == 0.5 for c in endpoint.chats))
    assert "typo" not in {chat.body["model"] for chat in endpoint.chats}
    _end(cli, run)


def test_settings_of_a_live_run(cli: Cli, start: Callable[..., str]) -> None:
    run = start("--agents", "2")
    _until(cli, run, lambda s: s["evaluations"] >= 3)
    before = cli.json("status", run)["budget"]
    answer = cli.json("set", run, "budget.evaluations=+50", "budget.hours=2.5")["answer"]
    assert answer
    budget = _until(cli, run, lambda s: s["budget"] != before)["budget"]
    assert (budget["evaluations"], budget["hours"]) == (5050, 2.5)

    cli("set", run, "agents=3")
    _until(cli, run, lambda s: any(a["agent"] == "agent-3" and a["attempts"] for a in s["agents"]))

    for mistake in ("budget.evalutions=5", "budget.evaluations=-3", "agents=0", "seed=4"):
        _refused(cli, "set", run, mistake)
    _refused(cli, "set", run, "budget.usd=3", "no.such=1")
    assert cli.json("status", run)["budget"]["usd"] is None, "all of it or nothing"

    cli("set", run, "target=1.0")  # below what is reached
    assert _done(cli, run)["reason"] == "target"
    assert cli.json("status", run)["budget"] == budget, "a resume goes on with it"
