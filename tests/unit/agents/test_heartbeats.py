"""Heartbeat rules: once per N, also when an N is jumped over, also after a resume."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.heartbeats.base import AgentView, HeartbeatRule, TeamView
from harness.agents.heartbeats.rules import check_rules, default_rules, evaluate_rules
from harness.errors import ConfigurationError

TEAM = TeamView(9, 2.5, "7", "agent-2", ())


def view(evaluations: int, since: int = 0, fired: dict[str, int] | None = None) -> AgentView:
    return AgentView("agent-1", evaluations, since, 1.5, 1.0, "a title", fired or {})


def fire(rule: HeartbeatRule, views: list[tuple[int, int]]) -> list[int]:
    """At which evaluations the rule fires, recorded as the run does."""
    fired: dict[str, int] = {}
    at: list[int] = []
    for evaluations, since in views:
        if evaluate_rules([rule], view(evaluations, since, fired), TEAM):
            fired = {rule.name: evaluations}
            at.append(evaluations)
    return at


@given(st.integers(1, 10), st.lists(st.integers(0, 12), max_size=40))
def test_an_interval_fires_once_for_each_multiple_reached(every: int, steps: list[int]) -> None:
    rule = HeartbeatRule(name="r", trigger="interval", every=every, prompt="x")
    seen = [sum(steps[: index + 1]) for index in range(len(steps))]
    at = fire(rule, [(evaluations, 0) for evaluations in seen])
    expected: list[int] = []
    reached = 0
    for evaluations in seen:
        if evaluations // every > reached:
            reached = evaluations // every
            expected.append(evaluations)
    assert at == expected
    if steps and max(steps) <= every:
        assert len(at) == seen[-1] // every, "no multiple is lost when none is jumped over"


@given(st.integers(1, 6), st.lists(st.booleans(), max_size=60))
def test_a_plateau_fires_after_n_and_again_after_n_more(every: int, improved: list[bool]) -> None:
    rule = HeartbeatRule(name="r", trigger="plateau", every=every, prompt="x")
    since = 0
    views: list[tuple[int, int]] = []
    for evaluations, better in enumerate(improved, 1):
        since = 0 if better else since + 1
        views.append((evaluations, since))
    at = fire(rule, views)
    assert at == [evaluations for evaluations, since in views if since and since % every == 0]


def test_firing_again_is_decided_by_what_was_recorded() -> None:
    rule = default_rules()[0]
    assert evaluate_rules([rule], view(5), TEAM)
    assert not evaluate_rules([rule], view(5, fired={"reflect": 5}), TEAM)
    assert not evaluate_rules([rule], view(9, fired={"reflect": 5}), TEAM)
    assert evaluate_rules([rule], view(10, fired={"reflect": 5}), TEAM)
    assert evaluate_rules([rule], view(12, fired={"reflect": 9}), TEAM)


def test_the_default_rules_say_something_about_this_agent() -> None:
    check_rules(default_rules())
    reflect, pivot = evaluate_rules(default_rules(), view(10, 8), TEAM)
    assert (reflect.rule, reflect.agent) == ("reflect", "agent-1")
    assert "10 evaluations; your best score is 1.5, the team's 2.5 (attempt 7)." in reflect.text
    assert "last 8 evaluations" in pivot.text
    assert pivot.reason == "8 evaluations without a personal best"


def test_own_text_is_rendered_with_agent_team_and_rule() -> None:
    rule = HeartbeatRule(
        name="mine",
        trigger="interval",
        every=1,
        prompt="{{ rule.name }}: {{ agent.last_title }}, {{ team.best_agent }}",
    )
    check_rules([rule])
    assert evaluate_rules([rule], view(1), TEAM)[0].text == "mine: a title, agent-2"


@pytest.mark.parametrize(
    "prompt",
    [
        "a set {1, 2} is fine, but {{ this is not",
        "{% for %}",
        "{{ unknown }}",
        "{{ agent.no_such_field }}",
        "{{ '%.3f' | format(agent.best_score) }}",  # fails while there is no score
        "{{ 1 // 0 }}",
        "{{ agent.__class__.__mro__[1].__subclasses__() }}",
        "{{ ().__class__.__base__ }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_broken_template_is_a_mistake_at_the_start(prompt: str) -> None:
    rule = HeartbeatRule(name="mine", trigger="interval", every=1, prompt=prompt)
    with pytest.raises(ConfigurationError, match="'mine' cannot be rendered"):
        check_rules([rule])
    # And it never ends a run, wherever it came from.
    agent = AgentView("agent-1", 1, 1, None, None, "", {})
    (said,) = evaluate_rules([rule], agent, TEAM)
    assert said.text == "Heartbeat `mine`: 1 evaluations, a heartbeat every 1."


def test_single_braces_are_ordinary_text() -> None:
    rule = HeartbeatRule(name="mine", trigger="interval", every=1, prompt="a dict {'a': 1}")
    check_rules([rule])
    assert evaluate_rules([rule], view(1), TEAM)[0].text == "a dict {'a': 1}"


def test_a_rule_without_any_message_and_two_of_one_name_are_mistakes() -> None:
    silent = HeartbeatRule(name="mine", trigger="interval", every=1)
    with pytest.raises(ConfigurationError, match="no shipped message"):
        check_rules([silent])
    with pytest.raises(ConfigurationError, match="two heartbeat rules"):
        check_rules([*default_rules(), default_rules()[0]])


@given(st.text(), st.integers(0, 20), st.integers(0, 20))
def test_no_text_of_a_user_ends_a_run(prompt: str, evaluations: int, since: int) -> None:
    rule = HeartbeatRule(name="mine", trigger="interval", every=1, prompt=prompt)
    said = evaluate_rules([rule], view(evaluations, since), TEAM)
    assert len(said) == (evaluations > 0)
