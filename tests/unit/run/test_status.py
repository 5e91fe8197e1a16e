"""The incremental view of a run is the whole view, whenever it looks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agents.base import Usage
from harness.attempt import Operator, Status, Verdict
from harness.clock import SystemClock
from harness.ids import AgentId, AttemptId, CommitHash, TreeHash
from harness.run.attempts import Candidate
from harness.run.config import BudgetConfig, RunConfig, save_config
from harness.run.folder import RunFolder
from harness.run.status import RunStatus, StatusReader
from harness.run.store import Store
from harness.run.views import read_run, status_document
from harness.search.base import Directive

ENDS = [
    Verdict(Status.SCORED, 0.5),
    Verdict(Status.SCORED, 1.5),
    Verdict(Status.SCORED, -2.0),
    Verdict(Status.FAILED),
    Verdict(Status.SANDBOX_LOST),
    Verdict(Status.CANCELLED),
]
STEPS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 3), st.integers(0, 4)),
    st.tuples(st.just("judge"), st.integers(0, 3), st.sampled_from(ENDS)),
    st.tuples(st.just("call"), st.integers(1, 3), st.sampled_from([None, 0.25])),
    st.tuples(st.just("look"), st.just(0), st.just(0)),
)


def make_store(folder: Path, *, direction: str = "maximize") -> Store:
    meta = {"run": folder.name, "task": "t", "direction": direction}
    store = Store.create(folder, SystemClock(), meta)
    save_config(RunConfig(budget=BudgetConfig(evaluations=20, usd=3.0)), folder / "config.json")
    store.accounts.begin_session()
    return store


def submit(store: Store, agent: str, tree: str) -> AttemptId:
    candidate = Candidate(
        CommitHash("c"), TreeHash(tree), AgentId(agent), Operator.IMPROVE, (), (), "t", None, {}
    )
    return store.attempts.submit(candidate, key=None).id


def _do(store: Store, waiting: list[AttemptId], step: Any) -> None:
    kind, number, value = step
    if kind == "submit":
        attempt = submit(store, f"agent-{number}", f"tree-{value}")
        if store.attempts.get(attempt).status is Status.QUEUED:
            waiting.append(attempt)
    elif kind == "judge" and number < len(waiting):
        attempt = waiting.pop(number)  # verdicts come in any order
        store.attempts.start(attempt)
        store.attempts.verdict(attempt, value)
    elif kind == "call":
        store.accounts.model_call(AgentId(f"agent-{number}"), None, Usage(7, 3, cost_usd=value))


def _still(status: RunStatus) -> RunStatus:
    return replace(status, at=0.0, rate_per_hour=None)


@settings(deadline=None, max_examples=25)
@given(steps=st.lists(STEPS, max_size=25))
def test_looking_often_shows_what_one_look_shows(tmp_path_factory: Any, steps: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("run")
    store = make_store(folder)
    reader, waiting = StatusReader(RunFolder(folder)), list[AttemptId]()
    for step in steps:
        _do(store, waiting, step)
        if step[0] == "look":
            reader.read()
    often, once = reader.read(), StatusReader(RunFolder(folder)).read()
    assert _still(often) == _still(once)
    view = read_run(RunFolder(folder))
    assert (often.evaluations, often.attempts) == (view.evaluations, len(view.attempts))
    assert (often.tokens, often.cost_usd) == (view.tokens, view.cost_usd)
    scores = [point.score for point in often.curve]
    assert scores == sorted(set(scores))
    assert (scores[-1] if scores else None) == (view.best.score if view.best else None)
    curve = often.best_so_far(7)
    assert len(curve) <= 7
    assert curve == sorted(curve)
    assert curve[-1:] == scores[-1:]
    store.close()


def test_directive_budget_left_and_unknown_cost(tmp_path: Path) -> None:
    store = make_store(tmp_path, direction="minimize")
    agent = AgentId("agent-1")
    for number, score in enumerate((3.0, 2.0, 2.5)):
        store.attempts.verdict(submit(store, agent, str(number)), Verdict(Status.SCORED, score))
    given_ = Directive(9, Operator.FUSE, AttemptId("1"), (AttemptId("2"),), "because")
    store.directives.open(agent, given_, [])
    store.agent_states({agent: ("working", "thinking", 5.0)})
    store.accounts.model_call(agent, 9, Usage(100, 20, cost_usd=0.5))
    reader = StatusReader(RunFolder(tmp_path))
    document = json.loads(json.dumps(status_document(reader.read())))
    assert document["budget_left"] == {"evaluations": 17, "hours": None, "tokens": None, "usd": 2.5}
    assert [point["evaluation"] for point in document["curve"]] == [1, 2]
    assert document["best"] == {"attempt": "1", "score": 2.0}
    (shown,) = document["agents"]
    assert (shown["attempts"], shown["best"], shown["cost_usd"]) == (3, 2.0, 0.5)
    assert (shown["tokens"], shown["activity"]) == (120, "thinking")
    directive = shown["directive"]
    assert (directive["operator"], directive["base"], directive["references"]) == (
        "fuse",
        "1",
        ["2"],
    )

    store.accounts.model_call(agent, 9, Usage(1, 1, cost_usd=None))
    save_config(RunConfig(budget=BudgetConfig(evaluations=1000, usd=3.0)), tmp_path / "config.json")
    document = status_document(reader.read())
    assert document["budget_left"]["evaluations"] == 997
    assert document["budget_left"]["usd"] is None, "an unknown cost is not 0"
    assert document["agents"][0]["cost_usd"] is None
    store.close()
