"""The `llm` agent through the command line: real HTTP to the scripted endpoint."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Cli

from harness.testing.behaviours import improver
from harness.testing.endpoint import ScriptedEndpoint

KEY = "sk-test-canary-7f3a"

PROVIDERS = [
    pytest.param(("process", "--unsafe"), id="process", marks=pytest.mark.slow),
    pytest.param(
        ("bubblewrap",), id="bubblewrap", marks=[pytest.mark.bubblewrap, pytest.mark.slow]
    ),
    pytest.param(("docker",), id="docker", marks=[pytest.mark.docker, pytest.mark.slow]),
]


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(improver, key=KEY) as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY}
        yield server


@pytest.mark.parametrize("sandbox", PROVIDERS)
def test_four_agents_improve_the_seed_over_http(
    cli: Cli, endpoint: ScriptedEndpoint, sandbox: tuple[str, ...]
) -> None:
    done = cli.launch(
        "launch", "circle_packing", "--agents", "4", "--evals", "12", "--model", "scripted",
        "--sandbox", *sandbox,
    )[-1]  # fmt: skip
    assert (done["reason"], done["evaluations"]) == ("evaluations", 12)
    run = done["run"]
    attempts = cli.json("attempts", run)["attempts"]
    judged = [a for a in attempts if a["status"] != "duplicate"]
    assert len(judged) == 12
    assert done["best"]["score"] > attempts[0]["score"]
    assert {a["agent"] for a in attempts[1:]} == {f"agent-{n}" for n in range(1, 5)}

    chats = endpoint.chats
    assert done["tokens"] > 0
    assert done["cost_usd"] is None, "the price of this model is unknown, never 0"
    status = cli.json("status", run)
    assert status["tokens"] == done["tokens"]
    usage = cli.json("show", run, "1")["usage"]
    assert usage["calls"] >= 3
    assert usage["cost_usd"] is None
    assert usage["prompt_tokens"] + usage["completion_tokens"] < done["tokens"]
    report = cli("report", run).stdout
    assert "| scripted | " in report
    assert len(chats) >= 12
    offered = {tool["function"]["name"] for tool in chats[0].body["tools"]}
    assert offered >= {"bash", "read", "write", "edit", "submit", "board"}
    assert offered >= {"memory_search", "memory_note"}
    _check_no_secret(cli.folder)


def _check_no_secret(folder: Path) -> None:
    for path in (folder / "runs").rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_wrong_key_is_said_and_exits_2(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    cli.environment["OPENAI_API_KEY"] = "sk-wrong"
    done = cli(
        "launch", "circle_packing", "--agents", "2", "--evals", "5", "--model", "scripted",
        "--sandbox", "process", "--unsafe", code=2,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "OPENAI_API_KEY" in done.stderr
    assert "sk-wrong" not in done.stderr
    assert cli.json("runs")["runs"] == [], "nothing was started"


def test_a_wrong_endpoint_is_said(cli: Cli) -> None:
    cli.environment |= {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": KEY}
    done = cli(
        "launch", "circle_packing", "--agents", "1", "--evals", "5", "--model", "scripted",
        "--sandbox", "process", "--unsafe", code=2,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "http://127.0.0.1:9/v1" in done.stderr
    assert cli.json("runs")["runs"] == [], "nothing was started"


@pytest.mark.slow
def test_a_money_budget_is_kept(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    (cli.folder / "harness.yaml").write_text(
        "agent: {model: {price_input: 1.0, price_output: 2.0, max_output_tokens: 500}}\n",
        encoding="utf-8",
    )
    done = cli.launch(
        "launch", "circle_packing", "--agents", "3", "--budget-usd", "0.02", "--model", "scripted",
        "--sandbox", "process", "--unsafe",
    )[-1]  # fmt: skip
    assert done["reason"] == "usd"
    assert 0 < done["cost_usd"] <= 0.02


def test_model_code_needs_isolation(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    done = cli("launch", "circle_packing", "--model", "scripted", "--sandbox", "process", code=2)
    assert "does not isolate" in done.stderr
    assert "--unsafe" in done.stderr
    assert not endpoint.chats


@pytest.mark.slow
def test_reflect_reaches_the_model(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    (cli.folder / "harness.yaml").write_text(
        "heartbeats:\n"
        "- {name: reflect, trigger: interval, every: 2, prompt: 'PONDER {{ agent.agent }}'}\n",
        encoding="utf-8",
    )
    cli.launch(
        "launch", "circle_packing", "--agents", "1", "--evals", "5", "--model", "scripted",
        "--sandbox", "process", "--unsafe",
    )  # fmt: skip
    seen = json.dumps([chat.body["messages"] for chat in endpoint.chats])
    assert "PONDER agent-1" in seen
