"""Rules that come later or are replaced on a live run, and conditions that fail in it."""

from typing import Any

import pytest
from tests.unit.run.heartbeat_rules import rule

from harness.errors import ConfigurationError
from harness.events import EventKind


def test_a_rule_that_comes_later_counts_from_then_on(make_bench: Any) -> None:
    bench = make_bench()
    for _ in range(12):
        bench.try_one("agent-1", 1.0)
    bench.pulse.replace([_rule(rule("late", every=5))])
    bench.reopen([rule("late", every=5)])
    bench.try_one("agent-1", 1.0)
    bench.tick()
    assert bench.fired() == []
    bench.try_one("agent-1", 1.0)
    bench.try_one("agent-1", 1.0)
    assert bench.fired() == [("late", "agent-1", 15)]
    bench.pulse.replace([])
    for _ in range(7):
        bench.try_one("agent-1", 1.0)
    bench.pulse.replace([_rule(rule("late", every=5))])
    for _ in range(4):
        bench.try_one("agent-1", 1.0)
    assert [count for _, _, count in bench.fired()] == [15, 25]


def _rule(document: dict[str, Any]) -> Any:
    from harness.agents.heartbeats.config import HeartbeatRule

    return HeartbeatRule.model_validate(document)


def test_a_run_that_had_no_rules_is_not_caught_up_on(make_bench: Any) -> None:
    bench = make_bench()
    for _ in range(12):
        bench.try_one("agent-1", None)
    bench.reopen([rule("r", every=5), rule("stuck", "plateau", every=8)])
    bench.tick()
    assert [name for name, _, _ in bench.fired()] == ["stuck"], "a plateau is a plateau"
    for _ in range(3):
        bench.try_one("agent-1", None)
    assert bench.fired()[1:] == [("r", "agent-1", 15)]


def test_other_rules_are_refused_whole_and_journalled(make_bench: Any) -> None:
    bench = make_bench(rule("r", every=5))
    with pytest.raises(ConfigurationError, match="cannot be rendered"):
        bench.pulse.replace(
            [_rule(rule("x", every=1)), _rule(rule("y", every=1, prompt="{{ no }}"))]
        )
    assert [each.name for each in bench.pulse.rules] == ["r"]
    bench.pulse.replace([_rule(rule("x", every=1))])
    bench.reopen([rule("x", every=1)])
    told = [each.data["rules"] for each in bench.events(EventKind.HEARTBEATS)]
    assert [[each["name"] for each in rules] for rules in told] == [["r"], ["x"]]


def test_a_condition_that_fails_in_mid_run_is_told_once(make_bench: Any) -> None:
    when = "10 // (agent.evaluations - 2) < 100"
    bench = make_bench(rule("r", every=1, when=when))
    for _ in range(3):
        bench.try_one("agent-1", None)
    warnings = [each.data["text"] for each in bench.events(EventKind.WARNING)]
    assert len(warnings) == 1
    assert "the heartbeat rule 'r' counts as not met" in warnings[0]
    assert bench.fired() == [("r", "agent-1", 1), ("r", "agent-1", 3)]
