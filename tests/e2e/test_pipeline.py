"""The `pipeline` agent through the command line: real HTTP to the scripted endpoint."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import Cli

from harness.run.core import FRUITLESS_PER_AGENT
from harness.testing.behaviours import BEHAVIOURS
from harness.testing.endpoint import ScriptedEndpoint
from harness.testing.pipeline_behaviour import asked

PROVIDERS = [
    pytest.param(("process", "--unsafe"), id="process", marks=pytest.mark.slow),
    pytest.param(
        ("bubblewrap",), id="bubblewrap", marks=[pytest.mark.bubblewrap, pytest.mark.slow]
    ),
    pytest.param(("docker",), id="docker", marks=[pytest.mark.docker, pytest.mark.slow]),
]


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(BEHAVIOURS["pipeline"]) as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "any"}
        yield server


@pytest.mark.parametrize("sandbox", PROVIDERS)
def test_two_agents_improve_the_seed_by_plans(
    cli: Cli, endpoint: ScriptedEndpoint, sandbox: tuple[str, ...]
) -> None:
    done = cli.launch(
        "launch", "circle_packing", "--agent", "pipeline", "--agents", "2", "--evals", "8",
        "--model", "scripted", "--sandbox", *sandbox,
    )[-1]  # fmt: skip
    assert (done["reason"], done["evaluations"]) == ("evaluations", 8)
    run = done["run"]
    attempts = cli.json("attempts", run)["attempts"]
    assert len([a for a in attempts if a["status"] != "duplicate"]) == 8
    assert done["best"]["score"] > attempts[0]["score"]
    assert {a["agent"] for a in attempts[1:]} == {"agent-1", "agent-2"}
    assert done["tokens"] > 0

    chats = endpoint.chats
    assert not any("tools" in chat.body for chat in chats)
    stages = {asked(chat)[0] for chat in chats}
    assert stages >= {"Plan", "Refine the plan", "Change the files", "Review", "Analyse"}
    reviews = [asked(chat)[0] for chat in chats].count("Review")
    assert reviews >= 7, "every change was reviewed before an evaluation was spent"
    entries = cli.json("memory", "log", run)["entries"]
    assert any(entry["op"] == "recall" and entry["query"].startswith("scale") for entry in entries)
    written = sum(entry["op"] == "write" for entry in entries)
    assert written > len(attempts), "a finding beside each attempt's own record"
    turns = (cli.folder / "runs" / run / "transcripts" / "agent-1.jsonl").read_text("utf-8")
    stages_told = {json.loads(turn).get("stage") for turn in turns.splitlines()}
    assert stages_told >= {"plan", "choose", "diff", "review", "check", "submit", "analyse"}


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    running = cli.start(
        "launch", "circle_packing", "--agent", "pipeline", "--agents", "2", "--evals", "6",
        "--model", "scripted", "--sandbox", "process", "--unsafe", "--json",
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(endpoint.chats) < 12 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    before = len(endpoint.chats)
    done = cli.launch("resume", "latest")[-1]
    assert (done["reason"], done["evaluations"]) == ("evaluations", 6)
    judged = [a for a in cli.json("attempts", "latest")["attempts"] if a["status"] != "duplicate"]
    assert len(judged) == 6
    assert len(endpoint.chats) > before
    # Each agent repeats at most the call that was cut off.
    asked_for = Counter(json.dumps(chat.messages) for chat in endpoint.chats)
    assert sum(count - 1 for count in asked_for.values()) <= 2


def test_a_model_must_be_named(cli: Cli) -> None:
    done = cli(
        "launch", "circle_packing", "--agent", "pipeline", "--sandbox", "process", "--unsafe",
        code=2,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "--model" in done.stderr


@pytest.mark.slow
def test_a_model_that_only_talks_does_not_go_on_for_ever(cli: Cli) -> None:
    with ScriptedEndpoint(BEHAVIOURS["idle"]) as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "any"}
        done = cli.launch(
            "launch", "circle_packing", "--agent", "pipeline", "--agents", "1", "--evals", "4",
            "--model", "scripted", "--sandbox", "process", "--unsafe",
        )[-1]  # fmt: skip
    assert (done["reason"], done["evaluations"]) == ("exhausted", 1)
    numbers = {number for chat in server.chats if (number := asked(chat)[1])}
    assert abs(max(numbers) - FRUITLESS_PER_AGENT) <= 1, "given that many chances, and no more"
