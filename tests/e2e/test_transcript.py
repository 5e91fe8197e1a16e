"""`harness transcript` on live, dead, killed and copied runs."""

import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli

from harness.testing.behaviours import improver
from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, tool_call

OFFLINE = ("launch", "circle_packing", "--sandbox", "process")
PATIENCE_S = 120.0
HOSTILE = "\x1b[2J\x1b]0;title\x07red\u202egnp.exe"


def _escaping(request: Request) -> Reply:
    """The improver, whose words and commands hold terminal escapes."""
    reply = improver(request)
    if not any(message["role"] == "tool" for message in request.messages):
        return tool_call("bash", command=f"printf '%s' '{HOSTILE}'; seq 1 400")
    return reply


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(_escaping, key="key") as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "key"}
        yield server


@pytest.mark.slow
def test_turns_and_tool_calls_are_readable(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    run = cli.launch(
        "launch", "circle_packing", "--agents", "1", "--evals", "3", "--model", "scripted",
        "--sandbox", "process", "--unsafe",
    )[-1]["run"]  # fmt: skip
    document = cli.json("transcript", run)
    assert (document["run"], document["agent"], document["live"]) == (run, "agent-1", False)
    kinds = [record["type"] for record in document["records"]]
    assert kinds[:5] == ["system", "user", "model", "assistant", "tool"]
    assert all(record["at"].endswith("Z") for record in document["records"])

    text = cli("transcript", run).stdout
    assert "-> bash  command: printf" in text
    assert "-> submit  title:" in text
    assert "user directive" in text
    assert "tool bash" in text
    assert not set(text) & set("\x1b\x07\u202e"), "what an agent wrote does not reach the terminal"
    assert "redgnp.exe" in text
    assert "lines more: --full]" in text
    assert "\n          200\n" not in text
    assert max(map(len, text.splitlines())) <= 100
    full = cli("transcript", run, "--full").stdout
    assert "\n          200\n" in full
    assert "--full]" not in full
    last = cli.json("transcript", run, "agent-1", "--last", "2")["records"]
    assert last == document["records"][-2:]


@pytest.mark.slow
def test_a_dead_run_and_its_copy_with_a_half_written_line(cli: Cli, tmp_path: Path) -> None:
    run = cli.launch(*OFFLINE, "--agents", "2", "--evals", "5")[-1]["run"]
    copy = tmp_path / "elsewhere" / run
    shutil.copytree(cli.folder / "runs" / run, copy)
    before = cli.json("transcript", run, "agent-2")["records"]
    assert before
    with (copy / "transcripts" / "agent-2.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"at": 1.0, "type": "assist')
    assert cli.json("transcript", str(copy), "agent-2")["records"] == before
    assert "the last line was cut off" in cli("transcript", str(copy), "agent-2").stdout
    followed = cli("transcript", str(copy), "agent-2", "--follow", "--json").stdout.splitlines()
    assert [json.loads(line)["at"] for line in followed] == [record["at"] for record in before]

    unknown = cli("transcript", run, "agent-9", code=2).stderr
    assert "expected: one of its agents: agent-1, agent-2" in unknown
    assert "has 2 agents" in cli("transcript", run, code=2).stderr


@pytest.mark.slow
def test_follow_goes_on_to_the_end_of_the_run(cli: Cli) -> None:
    launch = cli.start(*OFFLINE, "--agents", "1", "--evals", "5000", "--json")
    assert launch.stdout is not None
    run = json.loads(launch.stdout.readline())["run"]
    # Killed, not stopped: the follower must see the end of a run that could not say so.
    _until(lambda: cli.json("status", run)["evaluations"] >= 3)
    follower = cli.start("transcript", run, "--follow", "--json")
    assert follower.stdout is not None
    first: dict[str, Any] = json.loads(follower.stdout.readline())
    assert (first["run"], first["agent"]) == (run, "agent-1")
    seen = cli.json("status", run)["evaluations"]
    _until(lambda: cli.json("status", run)["evaluations"] >= seen + 3)
    launch.send_signal(signal.SIGKILL)
    followed = [first, *map(json.loads, follower.stdout)]
    assert follower.wait(PATIENCE_S) == 0
    whole = cli.json("transcript", run)["records"]
    assert [record["at"] for record in followed] == [record["at"] for record in whole]
    assert len(whole) > seen


def _until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
