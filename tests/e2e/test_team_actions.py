"""What heartbeat rules do to a team of a real run, one rule for each action; and an urgent word."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli
from tests.e2e.reading import answer, calls, events, query, turns

from harness.testing.behaviours import stamping
from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, tool_call

pytestmark = pytest.mark.slow

ONCE = {"minutes": 60}
PAUSE_S = 1.5
RULES: list[dict[str, Any]] = [
    {"name": "cool", "trigger": "interval", "every": 2, "when": "agent.agent == 'agent-1'",
     "action": {"do": "retune", "model": "other", "temperature": 0.3}},
    {"name": "turn", "trigger": "interval", "every": 3, "when": "agent.agent == 'agent-1'",
     "action": "pivot"},
    {"name": "rest", "trigger": "interval", "scope": "team", "every": 4, "to": "agent-2",
     "action": {"do": "pause", "minutes": PAUSE_S / 60}},
    {"name": "fresh", "trigger": "interval", "every": 3, "when": "agent.agent == 'agent-3'",
     "action": "restart"},
    {"name": "grow", "trigger": "interval", "scope": "team", "every": 8,
     "action": {"do": "spawn", "role": "a newcomer"}},
    {"name": "split", "trigger": "interval", "scope": "team", "every": 10, "to": "agent-1",
     "action": "fork"},
    {"name": "join", "trigger": "interval", "scope": "team", "every": 16, "action": "merge"},
    {"name": "drop", "trigger": "interval", "scope": "team", "every": 22, "action": "retire"},
]  # fmt: skip
EVALUATIONS = 30


_STAMPER = stamping()


def claiming(request: Request) -> Reply:
    """The stamper; the second and the third agent first claim the same lane."""
    said = json.dumps(request.messages)
    alike = "You are agent-2," in said or "You are agent-3," in said
    if alike and '"name": "focus"' not in said:
        return tool_call("focus", focus="small steps")
    return _STAMPER(request)


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(claiming) as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "key"}
        yield server


def _settings(cli: Cli, **settings: Any) -> None:
    # YAML has JSON in it.
    (cli.folder / "harness.yaml").write_text(json.dumps(settings), encoding="utf-8")


LAUNCH = ("launch", "circle_packing", "--model", "scripted", "--sandbox", "process", "--unsafe",
          "--memory", "run")  # fmt: skip


def test_each_action_does_what_it_says(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    _settings(
        cli,
        agents=3,
        team={"headcount": 5},
        heartbeats=[{**rule, "cooldown": ONCE} for rule in RULES],
    )
    done = cli.launch(*LAUNCH, "--evals", str(EVALUATIONS))[-1]
    assert (done["reason"], done["evaluations"]) == ("evaluations", EVALUATIONS)
    folder = cli.folder / "runs" / done["run"]
    firings = {each["rule"]: each for each in cli.json("heartbeat", "log", done["run"])["firings"]
               if each["number"] is not None}  # fmt: skip
    assert set(firings) == {rule["name"] for rule in RULES}
    assert not events(folder, "crash")
    _check_retuned(folder, endpoint, firings["cool"])
    _check_pivoted(folder, firings["turn"])
    _check_paused(folder, firings["rest"])
    _check_restarted(folder)
    _check_grown(folder, endpoint, firings)
    _check_shrunk(cli, folder, firings)


def _check_retuned(folder: Path, endpoint: ScriptedEndpoint, firing: dict[str, Any]) -> None:
    assert firing["outcome"] == "agent-1 retuned"
    change = _team(folder, "retuned")[0]
    assert (change["agent"], change["model"], change["temperature"]) == ("agent-1", "other", 0.3)
    asked = [
        (chat.body["model"], chat.body.get("temperature"))
        for chat in endpoint.chats
        if "You are agent-1," in str(chat.messages[0]["content"])
    ]
    assert asked == sorted(asked, key=lambda each: each[0] == "other")
    assert set(asked) == {("scripted", None), ("other", 0.3)}
    told = [each["model"] for each in turns(folder, "agent-1") if each["type"] == "model"]
    assert [name.partition("@")[0] for name in told] == ["scripted", "other"]


def _check_pivoted(folder: Path, firing: dict[str, Any]) -> None:
    found = re.fullmatch(r"agent-1 leaves the branch of attempt (\d+)", firing["outcome"])
    assert found
    heard, then = _after(folder, "agent-1", "turn")
    assert heard["action"] == "pivot"
    assert then["message"]["harness"] == "directive", "the directive ended at once"
    base = re.search(r"^## Base: attempt (\d+)", answer(then), re.MULTILINE)
    assert base
    assert _branch(folder, base[1]) != _branch(folder, found[1])


def _check_paused(folder: Path, firing: dict[str, Any]) -> None:
    assert firing["outcome"].startswith("agent-2 pauses for")
    at = query(folder, "SELECT at FROM fired WHERE rule = 'rest'")[0]["at"]
    answers = [each["at"] for each in turns(folder, "agent-2") if each["type"] == "assistant"]
    during = [each for each in answers if at < each < at + PAUSE_S]
    assert len(during) <= 1, "no call but the one that was under way"
    assert [each for each in answers if each >= at + PAUSE_S], "it went on"


def _check_restarted(folder: Path) -> None:
    folded = [each for each in turns(folder, "agent-3") if each["type"] == "compaction"]
    assert [each["why"] for each in folded] == ["restart"]
    assert _after(folder, "agent-3", "fresh")[0]["action"] == "restart"


def _check_grown(folder: Path, endpoint: ScriptedEndpoint, firings: dict[str, Any]) -> None:
    joined = {each["reason"]: each for each in _team(folder, "joined") if each["reason"]}
    new = joined[firings["grow"]["reason"]]
    assert (new["role"], new["origin"]) == ("a newcomer", None)
    assert firings["grow"]["outcome"] == f"{new['agent']} joined"
    fork = joined[firings["split"]["reason"]]
    assert fork["origin"] == "agent-1"
    for each in (new, fork):
        welcome = [str(record["message"]["content"]) for record in turns(folder, each["agent"])
                   if record.get("rule") in ("grow", "split")]  # fmt: skip
        assert len(welcome) == 1
        assert "You have just joined the team" in welcome[0]
    first = {
        name: next(
            json.dumps(chat.messages)
            for chat in endpoint.chats
            if f"You are {name}," in str(chat.messages[0]["content"])
        )
        for name in (new["agent"], fork["agent"])
    }
    assert first[new["agent"]].count("# Directive") == 1
    assert "agent-1-directive-" in first[fork["agent"]], "it has the other one's conversation"
    made = query(folder, "SELECT DISTINCT agent FROM attempts WHERE status = 'scored'")
    assert {new["agent"], fork["agent"]} <= {row["agent"] for row in made}


def _check_shrunk(cli: Cli, folder: Path, firings: dict[str, Any]) -> None:
    retired = {each["agent"]: each for each in _team(folder, "retired")}
    weak, strong = firings["join"]["targets"]
    assert firings["join"]["outcome"] == f"{weak} merged into {strong}"
    (dropped,) = firings["drop"]["targets"]
    assert firings["drop"]["outcome"] == f"{dropped} retired"
    assert set(retired) == {weak, dropped}
    told = [each for each in turns(folder, strong) if each.get("rule") == "merge"]
    if strong != dropped:
        assert f"{weak} was on your lane and has left the team" in answer(told[0])
    states = {each["agent"]: each["state"] for each in cli.json("status", folder.name)["agents"]}
    assert len(states) == 5
    for agent, change in retired.items():
        later = [each for each in turns(folder, agent) if each["at"] > change["at"]]
        assert not later, "who has left does nothing any more"


def _team(folder: Path, change: str) -> list[dict[str, Any]]:
    return [each for each in events(folder, "team") if each["change"] == change]


def _after(folder: Path, agent: str, rule: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an agent was told by a rule, and what comes next in its transcript."""
    records = turns(folder, agent)
    at = next(index for index, each in enumerate(records) if each.get("rule") == rule)
    return records[at], next(each for each in records[at + 1 :] if "rule" not in each)


def _branch(folder: Path, attempt: str) -> str:
    """The ancestor right below the seed; of the seed itself, the seed."""
    parents = {
        str(row["id"]): json.loads(row["parents"])
        for row in query(folder, "SELECT id, parents FROM attempts")
    }
    line = [attempt]
    while parents[line[-1]]:
        line.append(str(parents[line[-1]][0]))
    return line[-2] if len(line) > 1 else line[-1]


def test_an_urgent_word_cuts_a_command_short(cli: Cli) -> None:
    with ScriptedEndpoint(stamping("sleep 100")) as endpoint:
        cli.environment |= {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "key"}
        process = cli.start(*LAUNCH, "--agents", "1", "--evals", "2", "--json")
        assert process.stdout is not None
        run = json.loads(process.stdout.readline())["run"]
        deadline = time.monotonic() + 60
        while not any(
            agent["state"] == "running" and "sleep" in agent["activity"]
            for agent in cli.json("status", run)["agents"]
        ):
            assert time.monotonic() < deadline
        cli("tell", run, "agent-1", "leave it", "--urgent")
        stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    assert json.loads(stdout.splitlines()[-1])["evaluations"] == 2
    folder = cli.folder / "runs" / run
    (command,) = calls(turns(folder, "agent-1"), "bash")
    assert command["interrupted"]
    assert command["duration_s"] < 60, "it was not waited for"
    assert "[interrupted after" in answer(command)
    assert "by an urgent message (`user`)" in answer(command)
    told = query(folder, "SELECT * FROM interventions")[0]
    assert told["delivered_at"] - told["at"] < 10, "cut short at once"
    assert any("leave it" in json.dumps(chat.messages) for chat in endpoint.chats)
