"""Rules as they are written: built-in names, what goes with which trigger, saved and read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.agents.heartbeats.config import BUILT_IN, HeartbeatRule, default_rules


def read(value: Any) -> HeartbeatRule:
    return HeartbeatRule.model_validate(value)


def test_a_name_stands_for_a_built_in_rule_and_can_be_changed() -> None:
    assert read("pivot") == next(rule for rule in default_rules() if rule.name == "pivot")
    changed = read({"name": "pivot", "every": 20})
    assert (changed.every, changed.trigger, changed.action.do) == (20, "plateau", "pivot")


def test_a_rule_with_a_trigger_is_its_own_even_with_a_built_in_name() -> None:
    own = read({"name": "pivot", "trigger": "interval", "every": 3})
    assert (own.when, own.action.do, own.epsilon) == (None, "prompt", 0.0)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("nothing", "trigger"),
        ({"name": "user", "trigger": "interval", "every": 1}, "another name than 'user'"),
        ({"name": "Bad", "trigger": "interval", "every": 1}, "name"),
        ({"name": "x", "trigger": "interval"}, "with 'every'"),
        ({"name": "x", "trigger": "interval", "every": 0}, "every"),
        ({"name": "x", "trigger": "interval", "every": 1, "minutes": 2}, "without 'minutes'"),
        ({"name": "x", "trigger": "interval", "every": 1, "epsilon": 0.1}, "without 'epsilon'"),
        ({"name": "x", "trigger": "silence"}, "with 'minutes'"),
        ({"name": "x", "trigger": "crashes", "every": 3}, "with 'minutes'"),
        ({"name": "x", "trigger": "budget", "fraction": 1.5}, "fraction"),
        ({"name": "x", "trigger": "convergence", "every": 1}, "from 2 to 64"),
        ({"name": "x", "trigger": "interval", "every": 1, "to": "all"}, "only with 'scope: team'"),
        (
            {"name": "x", "trigger": "interval", "every": 1, "scope": "team", "to": "some"},
            "all, best, worst",
        ),
        ({"name": "x", "trigger": "interval", "every": 1, "action": "dance"}, "action"),
        ({"name": "x", "trigger": "interval", "every": 1, "action": "retune"}, "a model or a"),
        ({"name": "x", "trigger": "interval", "every": 1, "action": "spawn"}, "scope: team"),
        (
            {
                "name": "x",
                "trigger": "interval",
                "every": 1,
                "action": {"do": "pivot", "minutes": 3},
            },
            "without 'minutes'",
        ),
        (
            {"name": "x", "trigger": "interval", "every": 1, "action": "pause", "relay": True},
            "'relay' only",
        ),
        ({"name": "x", "trigger": "interval", "every": 1, "colour": "red"}, "colour"),
    ],
)
def test_what_does_not_go_together_is_refused(rule: Any, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read(rule)
    assert said in str(refused.value)


def test_short_forms() -> None:
    rule = read({"name": "x", "trigger": "stall", "minutes": 5, "cooldown": 3, "action": "pause"})
    assert (rule.cooldown.attempts, rule.cooldown.minutes) == (3, 0.0)
    assert (rule.action.do, rule.action.minutes) == ("pause", 10.0)
    defaults = {"retire": "worst", "fork": "best", "pause": "all"}
    for action, reach in defaults.items():
        keys = {"name": "x", "trigger": "interval", "every": 1, "scope": "team", "action": action}
        assert read(keys).reach == reach


@given(
    st.sampled_from(
        [
            *BUILT_IN,
            {"name": "x", "trigger": "crashes", "every": 2, "minutes": 9, "urgent": True},
            {
                "name": "x",
                "trigger": "silence",
                "minutes": 1,
                "scope": "team",
                "to": "agent-12",
                "action": {"do": "retune", "model": "m", "temperature": 0.5},
                "cooldown": {"minutes": 3},
            },
        ]
    )
)
def test_a_saved_rule_is_read_as_it_was(value: Any) -> None:
    """A saved configuration names all fields; the store's copy only those that are set."""
    rule = read(value)
    assert read(rule.model_dump(mode="json")) == rule
    assert read(rule.model_dump(mode="json", exclude_defaults=True)) == rule
