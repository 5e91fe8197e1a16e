"""What was used, by agent, model, directive, attempt and run."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.agents.base import Usage
from harness.attempt import Operator
from harness.ids import AgentId, CommitHash, TreeHash
from harness.run import accounts
from harness.run.attempts import Candidate
from harness.run.database import DATABASE
from harness.run.store import Store

ONE, TWO = AgentId("agent-1"), AgentId("agent-2")


class SteppingClock:
    """A second passes with each look."""

    def __init__(self) -> None:
        self._now = 1000.0

    def now(self) -> float:
        self._now += 1.0
        return self._now

    def monotonic(self) -> float:
        return self._now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store.create(tmp_path, SteppingClock(), {})
    yield found
    found.close()


def submit(store: Store, number: int, agent: AgentId, directive: int) -> str:
    candidate = Candidate(
        commit=CommitHash(f"{number:040x}"),
        tree=TreeHash(f"{number:040x}"),
        agent=agent,
        operator=Operator.IMPROVE,
        parents=(),
        references=(),
        title="t",
        directive=directive,
        detail={},
    )
    return store.attempts.submit(candidate, key=f"{number}").id


def usage(tokens: int, usd: float | None = 0.5, *, model: str = "m") -> Usage:
    return Usage(tokens, 1, 2, 3, usd, estimated=tokens == 7, model=model, latency_s=0.25)


def test_calls_go_to_the_attempt_they_led_to(store: Store) -> None:
    table = store.accounts
    table.model_call(ONE, 1, usage(10))
    table.model_call(TWO, 2, usage(100, model="other"))
    table.model_call(ONE, 1, usage(20))
    first = submit(store, 1, ONE, 1)
    table.model_call(ONE, 1, usage(5))
    second = submit(store, 2, ONE, 1)
    table.model_call(ONE, 1, usage(7))
    table.model_call(ONE, None, usage(3))
    third = submit(store, 3, TWO, 2)
    by_attempt = table.by_attempt()
    assert {key: each.prompt_tokens for key, each in by_attempt.items()} == {
        first: 30,
        second: 5,
        third: 100,
    }
    assert {key: each.prompt_tokens for key, each in table.by_directive().items()} == {
        1: 42,
        2: 100,
    }
    assert {key: each.prompt_tokens for key, each in table.by_agent().items()} == {
        ONE: 45,
        TWO: 100,
    }
    assert {key: each.calls for key, each in table.by_model().items()} == {"m": 5, "other": 1}
    whole = table.of_run()
    assert whole.prompt_tokens == 145
    assert whole.tokens == 151
    assert (whole.calls, whole.estimated) == (6, 1)
    assert whole.latency_s == pytest.approx(1.5)
    assert whole.cost_usd == pytest.approx(3.0)
    assert table.usage().prompt_tokens == 145


def test_an_unknown_price_is_unknown_all_the_way_up(store: Store) -> None:
    store.accounts.model_call(ONE, 1, usage(10, None))
    store.accounts.model_call(TWO, 2, usage(10))
    assert store.accounts.by_agent()[ONE].cost_usd is None
    assert store.accounts.by_agent()[TWO].cost_usd == 0.5
    assert store.accounts.usage().cost_usd is None


def test_a_run_without_calls_has_cost_nothing(store: Store) -> None:
    assert store.accounts.usage() == Usage(cost_usd=0.0)
    assert store.accounts.by_attempt() == {}


def test_another_process_reads_the_same(store: Store, tmp_path: Path) -> None:
    store.accounts.model_call(ONE, 1, usage(10))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.row_factory = sqlite3.Row
        assert accounts.by_agent(other.execute) == store.accounts.by_agent()
