"""A model endpoint in trouble under a whole run: no agent dies, nothing is lost, budgets are exact.

What the run says it used is compared with what the endpoint counted: each answer has a number of
tokens of its own, so that every recorded call is known to be one answer, counted once.
"""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli
from tests.e2e.reading import agents, answer, calls, events, query, turns

from harness.testing.behaviours import stamping
from harness.testing.endpoint import (
    Behaviour,
    Reply,
    Request,
    ScriptedEndpoint,
    dropped,
    empty_choices,
    malformed_json,
    rate_limited,
    server_error,
    slow,
)
from harness.testing.troubles import context_too_long, malformed_tool_call, storm, with_troubles

pytestmark = pytest.mark.slow

BEHAVIOUR = stamping()

FIRST = 1000
"""An answer's completion tokens are its request's number and so many."""
PATIENCE_S = 90.0
LAUNCH = ("launch", "circle_packing", "--agents", "4", "--model", "scripted", "--sandbox",
          "process", "--unsafe", "--memory", "run")  # fmt: skip


def numbered(behaviour: Behaviour) -> Behaviour:
    """`behaviour`, each answer with a number of tokens that no other has."""

    def counted(request: Request) -> Reply:
        return replace(behaviour(request), completion_tokens=FIRST + request.number)

    return counted


def _connected(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    cli.environment |= {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "key"}


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    # Slow enough that a kill finds calls in flight.
    with ScriptedEndpoint(numbered(lambda request: slow(0.1, BEHAVIOUR(request)))) as server:
        _connected(cli, server)
        yield server


def _check_tokens(folder: Path, endpoint: ScriptedEndpoint, done: dict[str, Any]) -> None:
    """Every answer that can be read is one recorded call; what can't be read is estimated."""
    billed: dict[int, tuple[int, int]] = {}
    unreadable = 0
    for request, reply in list(endpoint.sent):
        if request.path.endswith("/chat/completions") and reply.status == 200:
            usage = reply.body.get("usage")
            if usage is None:
                unreadable += 1
            else:
                numbers = (usage["prompt_tokens"], usage["completion_tokens"])
                billed[request.number] = numbers
    rows = query(folder, "SELECT * FROM model_calls")
    exact = [row for row in rows if not row["estimated"]]
    recorded = {
        row["completion_tokens"] - FIRST: (row["prompt_tokens"], row["completion_tokens"])
        for row in exact
    }
    assert len(recorded) == len(exact), "no answer is counted twice"
    for number, numbers in recorded.items():
        assert numbers == billed[number]
    # What was in flight when the run ended was given up, and is counted by an estimate.
    given_up = len(rows) - len(exact) - unreadable
    assert 0 <= given_up <= 4
    assert len(billed) - len(recorded) <= given_up
    total = sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)
    assert total == done["tokens"] >= sum(map(sum, billed.values()))


def _check_nothing_lost(folder: Path, evaluations: int) -> None:
    """All agents lived, every submission is an attempt with a verdict, evaluations are exact."""
    assert not events(folder, "crash")
    assert not [each for each in events(folder, "team") if each["change"] != "joined"]
    assert agents(folder) == [f"agent-{number}" for number in range(1, 5)]
    rows = query(folder, "SELECT * FROM attempts")
    assert sum(row["status"] != "duplicate" for row in rows) == evaluations
    assert all(row["verdict"] or row["duplicate_of"] is not None for row in rows)
    effects = Counter(
        (each["agent"], each["key"]) for each in query(folder, "SELECT * FROM effects")
    )
    for agent in agents(folder):
        for record in calls(turns(folder, agent), "submit"):
            if not answer(record).startswith("Error:"):
                assert effects[agent, record["key"]] == 1


def _outage(cli: Cli, endpoint: ScriptedEndpoint, seconds: float, evaluations: int) -> None:
    """Kill the endpoint in mid-run for so long; all that is asserted is of the run."""
    process = cli.start(*LAUNCH, "--evals", str(evaluations), "--json")
    assert process.stdout is not None
    run = json.loads(process.stdout.readline())["run"]
    folder = cli.folder / "runs" / run
    _until(lambda: _evaluated(folder) >= 6)
    endpoint.kill()
    began = time.monotonic()
    _until(lambda: _waiting(cli, run) == 4)
    held, counted = _evaluated(folder), _counted(folder)
    asked = len(endpoint.requests)
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    assert (_evaluated(folder), _counted(folder)) == (held, counted), "no budget is burnt"
    assert _waiting(cli, run) == 4
    assert process.poll() is None
    endpoint.restart()
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    done = json.loads(stdout.splitlines()[-1])
    assert (done["reason"], done["evaluations"]) == ("evaluations", evaluations)
    assert len(endpoint.requests) > asked

    told = events(folder, "endpoint")
    ends = [each for each in told if "over" in each]
    assert [each["over"] for each in ends] == [False, True]
    assert "agents wait for the endpoint" in ends[0]["text"]
    assert "answers again after" in ends[1]["text"]
    assert ends[1]["at"] - ends[0]["at"] >= seconds - 2
    _check_nothing_lost(folder, evaluations)
    _check_tokens(folder, endpoint, done)


def _evaluated(folder: Path) -> int:
    if not (folder / "run.db").exists():
        return 0
    try:
        return len(query(folder, "SELECT id FROM attempts WHERE verdict IS NOT NULL"))
    except sqlite3.OperationalError:  # it is just being made
        return 0


def _counted(folder: Path) -> int:
    return len(query(folder, "SELECT id FROM model_calls"))


def _waiting(cli: Cli, run: str) -> int:
    """How many agents are said to wait for the endpoint."""
    status = cli.json("status", run)
    return sum(
        agent["state"] == "paused" and "waits for http://127.0.0.1" in agent["activity"]
        for agent in status["agents"]
    )


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("seconds", [20.0])
def test_the_endpoint_is_killed_and_comes_back(
    cli: Cli, endpoint: ScriptedEndpoint, seconds: float
) -> None:
    _outage(cli, endpoint, seconds, evaluations=24)


def test_a_run_is_resumed_while_the_endpoint_is_down(cli: Cli, endpoint: ScriptedEndpoint) -> None:
    process = cli.start(*LAUNCH, "--evals", "14", "--json")
    assert process.stdout is not None
    run = json.loads(process.stdout.readline())["run"]
    folder = cli.folder / "runs" / run
    _until(lambda: _evaluated(folder) >= 5)
    process.kill()
    process.communicate()
    endpoint.kill()

    address = cli.environment["OPENAI_BASE_URL"]
    cli.environment["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
    refused = cli("resume", run, code=2).stderr
    assert "http://127.0.0.1:9/v1" in refused, "an address that never answered is a mistake"
    cli.environment["OPENAI_BASE_URL"] = address
    resumed = cli.start("resume", run, "--json")
    _until(lambda: _waiting(cli, run) == 4)
    endpoint.restart()
    stdout, stderr = resumed.communicate(timeout=PATIENCE_S)
    assert resumed.returncode == 0, stderr
    assert json.loads(stdout.splitlines()[-1])["evaluations"] == 14
    assert any("it answered before" in each["text"] for each in events(folder, "warning"))
    _check_nothing_lost(folder, 14)


TROUBLES: dict[int, Reply] = {
    **storm(8, 8, rate_limited(1)),
    24: malformed_tool_call("bash"),
    28: malformed_tool_call("submit"),
    32: malformed_json(),
    36: empty_choices(),
    40: context_too_long(4096, 5000),
    46: context_too_long(server="openai"),
    **storm(50, 3, rate_limited()),
    **storm(62, 4, server_error(503)),
    72: dropped(),
    76: malformed_json(),
    77: empty_choices(),
}
"""By the number of the request, from the first ones of the run on."""


def test_every_trouble_in_turn(cli: Cli) -> None:
    evaluations = 24
    with ScriptedEndpoint(numbered(with_troubles(BEHAVIOUR, TROUBLES))) as endpoint:
        _connected(cli, endpoint)
        done = cli.launch(*LAUNCH, "--evals", str(evaluations))[-1]
        assert (done["reason"], done["evaluations"]) == ("evaluations", evaluations)
        assert len(endpoint.chats) > max(TROUBLES), "all of them came up"
        folder = cli.folder / "runs" / done["run"]
        _check_nothing_lost(folder, evaluations)
        _check_tokens(folder, endpoint, done)
    records = [record for agent in agents(folder) for record in turns(folder, agent)]
    refused = [answer(record) for record in calls(records) if answer(record).startswith("Error:")]
    assert sum("not JSON" in text for text in refused) == 2
    squeezed = [each for each in records if each["type"] == "compaction"]
    assert [each["why"] for each in squeezed].count("too_long") == 2


def test_a_money_budget_holds_through_trouble(cli: Cli) -> None:
    limit, price_in, price_out = 0.12, 1.0, 4.0
    model = {"price_input": price_in, "price_output": price_out, "max_output_tokens": 1500}
    settings = json.dumps({"agent": {"model": model}})  # YAML has JSON in it
    (cli.folder / "harness.yaml").write_text(settings, encoding="utf-8")
    troubles = {9: malformed_json(), 12: empty_choices(), 15: dropped(), 18: malformed_json()}
    with ScriptedEndpoint(numbered(with_troubles(BEHAVIOUR, troubles))) as endpoint:
        _connected(cli, endpoint)
        done = cli.launch(*LAUNCH, "--budget-usd", str(limit))[-1]
        assert done["reason"] == "usd"
        assert len(endpoint.chats) > max(troubles)
        folder = cli.folder / "runs" / done["run"]
        _check_tokens(folder, endpoint, done)
        billed = [
            reply.body["usage"] for _, reply in endpoint.sent if reply.body.get("usage") is not None
        ]
    cost = sum(
        each["prompt_tokens"] * price_in + each["completion_tokens"] * price_out for each in billed
    )
    assert cost / 1e6 <= done["cost_usd"] <= limit
    assert not events(folder, "crash")
