"""Conditions and messages that users write: mistakes are told at the start, and none ends a run."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.agents.rulebook import NOW, Book, agent, rule, team

from harness.agents.heartbeats.base import HeartbeatRule
from harness.agents.heartbeats.rules import check_rules, default_rules, evaluate_rules
from harness.errors import ConfigurationError


def test_a_condition_that_cannot_be_decided_is_told_and_not_met() -> None:
    asked = rule(every=1, when="agent.best_score > 1")
    judged = evaluate_rules([asked], team(agent(evaluations=1)), {}, NOW)
    assert not judged.firings
    assert "'>' not supported" in judged.problems["r"]
    with pytest.raises(ConfigurationError, match="cannot be decided"):
        check_rules([asked])


@pytest.mark.parametrize(
    "when",
    ["agent.nothing", "nothing > 1", "1 +", "{{ x }}", "team.evaluations // 0", "().__class__"],
)
def test_a_broken_condition_is_a_mistake_at_the_start(when: str) -> None:
    with pytest.raises(ConfigurationError, match="condition of the heartbeat rule 'r'"):
        check_rules([rule(every=1, when=when)])


def test_a_team_rule_s_condition_knows_no_agent() -> None:
    with pytest.raises(ConfigurationError, match="'agent' is undefined"):
        check_rules([rule(every=1, scope="team", when="agent.evaluations > 1")])


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
    mine = rule(every=1, prompt=prompt, name="mine")
    with pytest.raises(ConfigurationError, match="'mine' cannot be rendered"):
        check_rules([mine])
    # And it never ends a run, wherever it came from.
    (said,) = Book(mine).ask(team(agent(evaluations=1)))[0].interventions
    assert said.text == "[heartbeat: mine]\n1 evaluations, a heartbeat every 1."


@pytest.mark.parametrize("prompt", ['Append {"score": x}', "a dict {'a': 1}", "{", "}}", "{0} %s"])
def test_single_braces_are_ordinary_text(prompt: str) -> None:
    check_rules([rule(every=1, prompt=prompt)])
    (said,) = Book(rule(every=1, prompt=prompt)).ask(team(agent(evaluations=1)))[0].interventions
    assert said.text == prompt


@given(st.text(), st.integers(0, 20), st.integers(0, 20))
def test_no_text_of_a_user_ends_a_run(prompt: str, evaluations: int, since: int) -> None:
    seen = team(agent(evaluations=evaluations, since_improvement=since))
    fired = Book(rule(every=1, prompt=prompt)).ask(seen)
    assert len(fired) == (evaluations > 0)


def test_own_text_is_rendered_with_agent_team_rule_reason_and_key() -> None:
    text = "{{ rule.name }} {{ agent.last_title }} {{ team.best_agent }} {{ reason }} {{ key }}"
    mine = rule(every=1, prompt=text)
    check_rules([mine])
    seen = team(agent(evaluations=1, last_title="a title"), best_agent="agent-2")
    (said,) = Book(mine).ask(seen)[0].interventions
    assert said.text == "r a title agent-2 1 evaluations, a heartbeat every 1 r-agent-1-1"


def test_a_rule_without_any_message_and_two_of_one_name_are_mistakes() -> None:
    with pytest.raises(ConfigurationError, match="no shipped message"):
        check_rules([rule(every=1, prompt=None)])
    with pytest.raises(ConfigurationError, match="two heartbeat rules"):
        check_rules([*default_rules(), default_rules()[0]])
    check_rules([rule(every=1, prompt=None, action="restart")])
    (said,) = (
        Book(rule(every=1, prompt=None, action="restart"))
        .ask(team(agent(evaluations=1)))[0]
        .interventions
    )
    assert said.action == "restart"
    assert said.text.endswith("Your conversation starts again from a summary.")


def test_a_folder_s_template_stands_in_for_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "heartbeat_reflect.md.j2").write_text("MINE {{ agent.agent }}", encoding="utf-8")
    (tmp_path / "heartbeat_own.md.j2").write_text("OWN", encoding="utf-8")
    rules = [HeartbeatRule.model_validate("reflect"), rule(name="own", every=1, prompt=None)]
    check_rules(rules, [tmp_path])
    seen = team(agent(evaluations=5))
    judged = evaluate_rules(rules, seen, {}, NOW, folders=[tmp_path])
    assert [f.interventions[0].text for f in judged.firings] == ["MINE agent-1", "OWN"]
