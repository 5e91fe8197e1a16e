"""Four `llm` agents over HTTP: every tool, every built-in heartbeat, and what heartbeats change.

The scripted model (`harness.testing.team_behaviour`) is a function of the request: what it does
otherwise than before, it does because of a message that it was sent.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli
from tests.e2e.reading import agents, calls, events, file_of, made, query, succeeded, turns

from harness.agents.tools import TOOLS
from harness.testing.endpoint import ScriptedEndpoint
from harness.testing.team_behaviour import COURSE, team

pytestmark = pytest.mark.slow

EVALUATIONS = 26
HEARTBEATS = """
heartbeats:
- {name: reflect, every: 2}
- {name: consolidate, every: 5}
- {name: pivot, every: 3}
- {name: refocus, minutes: 0.05}
- {name: diversify, every: 4}
- {name: lint, every: 6}
- {name: wrap_up, fraction: 0.8}
- {name: dream, every: 6, when: team.size > 1}
"""
"""The built-in rules, all of them, with thresholds for a short run."""

REASONS = {
    "reflect": r"\d+ evaluations, a heartbeat every 2",
    "consolidate": r"the team has \d+ evaluations, a heartbeat every 5",
    "pivot": r"\d+ evaluations without a personal best by more than 0\.001 of it",
    "refocus": r"\d+ s without a model or tool event",
    "diversify": r"\d of the last 4 attempts are near-copies of one before them",
    "lint": r"the team has \d+ evaluations, a heartbeat every 6",
    "wrap_up": r"\d+% of the budget is used",
    "dream": r"\d+ evaluations without a team best by more than 0\.001 of it",
}

PROVIDERS = [
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    pytest.param("docker", marks=pytest.mark.docker),
]


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(team, key="key") as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "key"}
        yield server


def _run(cli: Cli, sandbox: str, heartbeats: str) -> tuple[dict[str, Any], Path]:
    (cli.folder / "harness.yaml").write_text(heartbeats, encoding="utf-8")
    done = cli.launch(
        "launch", "circle_packing", "--agents", "4", "--evals", str(EVALUATIONS),
        "--model", "scripted", "--sandbox", sandbox, "--memory", "run",
    )[-1]  # fmt: skip
    assert (done["reason"], done["evaluations"]) == ("evaluations", EVALUATIONS)
    return done, cli.folder / "runs" / done["run"]


@pytest.mark.parametrize("sandbox", PROVIDERS)
def test_a_team_with_every_tool_and_every_heartbeat(
    cli: Cli, endpoint: ScriptedEndpoint, sandbox: str
) -> None:
    done, folder = _run(cli, sandbox, HEARTBEATS)
    seed = query(folder, "SELECT verdict FROM attempts WHERE id = 0")[0]["verdict"]
    assert done["best"]["score"] > 1.2 * json.loads(seed)["score"]
    assert agents(folder) == [f"agent-{number}" for number in range(1, 5)]
    assert not events(folder, "crash")
    _check_tools(folder)
    _check_what_each_change_brought(folder)
    _check_firings(cli, done["run"])
    _check_delivery(folder)
    _check_courses(folder)


def _check_tools(folder: Path) -> None:
    """Each was called and did what it was asked."""
    made_calls = [record for agent in agents(folder) for record in calls(turns(folder, agent))]
    failed = [record for record in made_calls if not succeeded(record)]
    assert not failed
    assert {record["name"] for record in made_calls} == set(TOOLS)
    waits = {
        json.loads(each["arguments"]).get("wait", True) for each in calls(made_calls, "submit")
    }
    assert waits == {True, False}


def _check_what_each_change_brought(folder: Path) -> None:
    """Changes made with each of the three tools alone were scored above what they started from."""
    rows = query(folder, "SELECT * FROM attempts WHERE status = 'scored'")
    score = {str(row["id"]): json.loads(row["verdict"])["score"] for row in rows}
    base = {str(row["id"]): str(json.loads(row["parents"])[0]) for row in rows if row["id"]}
    how = made(folder)
    assert set(how) == {str(row["id"]) for row in query(folder, "SELECT id FROM attempts")} - {"0"}
    gained = {
        how[attempt].tools for attempt, start in base.items() if score[attempt] > score[start]
    }
    assert gained == {frozenset({"write"}), frozenset({"edit"}), frozenset({"bash"})}
    consulted = [json.loads(row["refs"]) for row in rows if how.get(str(row["id"]))]
    assert any(consulted), "an attempt names what it was checked out from"


def _check_firings(cli: Cli, run: str) -> None:
    firings = cli.json("heartbeat", "log", run)["firings"]
    assert {firing["rule"] for firing in firings} == set(REASONS)
    for firing in firings:
        assert re.fullmatch(REASONS[firing["rule"]], firing["reason"]), firing
    heard = {
        firing["rule"] for firing in firings for told in firing["told"] if told["delivered_at"]
    }
    assert heard == set(REASONS)
    assert any(firing["note"] for firing in firings if firing["rule"] == "dream"), "passed on"
    assert any(firing["improved"] for firing in firings if firing["rule"] == "pivot")
    spread = [firing for firing in firings if firing["rule"] == "diversify"]
    for firing in spread:
        told = {each["agent"] for each in firing["told"]}
        assert told == {f"agent-{number}" for number in range(1, 5)}, "a team rule reaches all"
    stalled = [firing["agent"] for firing in firings if firing["rule"] == "refocus"]
    assert "agent-4" in stalled, "who waited for a job that does not end"


def _check_delivery(folder: Path) -> None:
    """What fired reaches its agent at the next turn, however busy it is."""
    for agent in agents(folder):
        answers = [each["at"] for each in turns(folder, agent) if each["type"] == "assistant"]
        for row in query(folder, "SELECT * FROM interventions WHERE agent = ?", agent):
            until = row["delivered_at"] or float("inf")
            between = [at for at in answers if row["at"] < at < until]
            assert len(between) <= 1, "only the answer that was under way came before"


def _check_courses(folder: Path) -> None:
    """Each tree says of exactly those rules whose messages its maker had been sent."""
    parents = {
        str(row["id"]): str(json.loads(row["parents"])[0])
        for row in query(folder, "SELECT id, parents FROM attempts WHERE id > 0")
    }
    told = 0
    for attempt, how in made(folder).items():
        before = file_of(folder, parents[attempt], "solve.py").splitlines()
        new = [line for line in file_of(folder, attempt, "solve.py").splitlines()
               if line not in before]  # fmt: skip
        said = [line.partition(COURSE)[2].split() for line in new if COURSE in line]
        assert said == ([list(how.heard)] if how.heard else []), attempt
        told += bool(said)
        if len(new) > 20 and _largest(new) > 1.2 * _largest(before):
            assert "pivot" in how.heard
    assert told > 10
    with_all = {rule for how in made(folder).values() for rule in how.heard}
    assert with_all == set(REASONS)


def _largest(lines: list[str]) -> float:
    return max(float(found[1]) for line in lines if (found := re.search(r", (\d\.\d+)\],", line)))


@pytest.mark.bubblewrap
def test_without_heartbeats_the_same_team_never_changes_course(
    cli: Cli, endpoint: ScriptedEndpoint
) -> None:
    done, folder = _run(cli, "bubblewrap", "heartbeats: []\n")
    assert cli.json("heartbeat", "log", done["run"])["firings"] == []
    records = [record for agent in agents(folder) for record in turns(folder, agent)]
    assert not [record for record in records if "rule" in record]
    assert not any("[heartbeat:" in json.dumps(chat.body["messages"]) for chat in endpoint.chats)
    attempts = query(folder, "SELECT id, parents, verdict FROM attempts")
    assert not any(COURSE in file_of(folder, str(row["id"]), "solve.py") for row in attempts)
    scores = {row["id"]: json.loads(row["verdict"])["score"] for row in attempts}
    assert scores[0] < done["best"]["score"] < 1.01 * scores[0], "small steps to the end"
    _check_tools(folder)
