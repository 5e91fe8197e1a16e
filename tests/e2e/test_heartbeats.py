"""`harness heartbeat`: rules that fire in a real run, are listed, changed live, and logged."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.conftest import Cli

from harness.testing.behaviours import improver
from harness.testing.endpoint import ScriptedEndpoint

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
RULES = """
heartbeats:
- {name: reflect, every: 2}
- {name: nag, trigger: interval, scope: team, every: 4, prompt: 'NAG {"all": 1} {{ team.size }}'}
- {name: turn, trigger: plateau, every: 3, action: pivot, prompt: TURN}
"""


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(improver, key="key") as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "key"}
        yield server


def launch(cli: Cli, evaluations: int, *more: str) -> list[str]:
    return [
        "launch", "circle_packing", "--agents", "2", "--evals", str(evaluations),
        "--model", "scripted", "--sandbox", "process", "--unsafe", *more,
    ]  # fmt: skip


def heard(endpoint: ScriptedEndpoint, text: str) -> bool:
    return any(text in json.dumps(chat.body["messages"]) for chat in endpoint.chats)


def until(condition: Any) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found


def test_rules_fire_reach_the_models_and_are_logged(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    (cli.folder / "harness.yaml").write_text(RULES, encoding="utf-8")
    run = cli.launch(*launch(cli, 17))[0]["run"]
    assert heard(endpoint, 'NAG {\\"all\\": 1} 2')
    assert heard(endpoint, "You have had 2 evaluations")
    firings = cli.json("heartbeat", "log", run)["firings"]
    team = [each for each in firings if each["rule"] == "nag"]
    assert [each["team_evaluations"] for each in team] == [4, 8, 12, 16]
    assert [[told["agent"] for told in each["told"]] for each in team] == [
        ["agent-1", "agent-2"]
    ] * 4
    mine = [each for each in firings if each["rule"] == "reflect"]
    attempts = cli.json("attempts", run)["attempts"]
    for agent in ("agent-1", "agent-2"):
        count = sum(a["agent"] == agent and a["status"] != "duplicate" for a in attempts)
        assert [each["evaluations"] for each in mine if each["agent"] == agent] == list(
            range(2, count + 1, 2)
        )
    for each in firings:
        if each["action"] == "pivot":
            assert "leaves the branch of attempt" in each["outcome"]
    printed = cli("heartbeat", "log", run, "--rule", "nag", "--text").stdout
    assert "team has 4 evaluations, a heartbeat every 4" in printed
    assert '| NAG {"all": 1} 2' in printed
    assert re.search(r"after   \d+ attempts: best [\d.]+; ", printed)
    rules = cli.json("heartbeat", "list", run)["rules"]
    assert [(each["name"], each["fired"]) for each in rules][1] == ("nag", 4)
    copy = cli.folder / "copied"
    shutil.copytree(cli.folder / "runs" / run, copy)
    assert cli.json("heartbeat", "log", str(copy))["firings"] == firings


def test_rules_are_changed_on_a_live_run(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    (cli.folder / "harness.yaml").write_text("heartbeats: []\n", encoding="utf-8")
    process = cli.start(*launch(cli, 5000), "--json")
    assert process.stdout is not None
    run = json.loads(process.stdout.readline())["run"]
    until(lambda: cli.json("status", run)["evaluations"] >= 3)
    assert cli.json("heartbeat", "log", run)["firings"] == []
    assert cli("heartbeat", "list", run).stdout == "no rule is in force: nothing fires\n"
    said = cli("heartbeat", "set", run, "mine", "trigger=interval", "every=1", "prompt=MINE {x}")
    assert "heartbeat mine is set" in said.stdout
    until(lambda: heard(endpoint, "MINE {x}"))
    cli("heartbeat", "set", run, "mine", "every=2", "cooldown.minutes=9")
    (rule,) = cli.json("heartbeat", "list", run)["rules"]
    assert (rule["every"], rule["cooldown"]["minutes"], rule["prompt"]) == (2, 9.0, "MINE {x}")
    cli("heartbeat", "set", run, "dream")
    cli("heartbeat", "off", run, "mine")
    assert [each["name"] for each in cli.json("heartbeat", "list", run)["rules"]] == ["dream"]
    refused = cli("heartbeat", "set", run, "bad", "trigger=interval", code=2).stderr
    assert "with 'every'" in refused
    assert "Traceback" not in refused
    assert (
        "cannot be rendered"
        in cli(
            "heartbeat", "set", run, "bad", "trigger=interval", "every=1", "prompt={{ no }}", code=2
        ).stderr
    )
    assert "did you mean 'dream'" in cli("heartbeat", "off", run, "dreams", code=2).stderr
    cli("stop", run)
    process.communicate(timeout=PATIENCE_S)
    saved = json.loads((cli.folder / "runs" / run / "config.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in saved["heartbeats"]] == ["dream"]


def test_rules_of_an_ended_run_are_changed_for_its_resume(
    cli: Cli, endpoint: ScriptedEndpoint
) -> None:
    run = cli.launch(*launch(cli, 5))[0]["run"]
    names = [each["name"] for each in cli.json("heartbeat", "list", run)["rules"]]
    assert names == [
        "reflect", "consolidate", "pivot", "refocus", "diversify", "lint", "wrap_up", "dream",
    ]  # fmt: skip
    said = cli("heartbeat", "set", run, "reflect", "every=1", "prompt=AGAIN").stdout
    assert "when the run is resumed" in said
    cli("heartbeat", "off", run, "wrap_up")
    assert not heard(endpoint, "AGAIN")
    cli.launch("resume", run, "--evals", "11")
    assert heard(endpoint, "AGAIN")
    firings = cli.json("heartbeat", "log", run, "--rule", "reflect")["firings"]
    assert sum(each["told"][0]["text"] == "AGAIN" for each in firings) == 6
    rules = [each["name"] for each in cli.json("heartbeat", "list", run)["rules"]]
    assert rules == [name for name in names if name != "wrap_up"]
