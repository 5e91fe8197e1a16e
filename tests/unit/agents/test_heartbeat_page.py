"""docs/heartbeats.md says what the code does: built-in rules, triggers, actions, names."""

import re
from dataclasses import fields
from typing import get_args

import yaml
from docs.make_heartbeats import PAGE, page

from harness.agents.heartbeats.base import AgentView, TeamView
from harness.agents.heartbeats.config import Action, HeartbeatRule, Trigger
from harness.agents.heartbeats.rules import check_rules

TEXT = PAGE.read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.partition(f"### {title}\n")[2].partition("\n### ")[0]


def test_the_table_of_built_in_rules_is_the_code_s() -> None:
    assert page(TEXT) == TEXT, "python docs/make_heartbeats.py"


def test_every_trigger_and_action_is_described_with_an_example_that_works() -> None:
    triggers = dict(re.findall(r"^\| `(\w+)` \|.*\| `(\{.*\})` \|$", section("Triggers"), re.M))
    assert list(triggers) == list(get_args(Trigger))
    for name, example in triggers.items():
        rule = HeartbeatRule.model_validate(yaml.safe_load(example) | {"prompt": "x"})
        assert rule.trigger == name
        check_rules([rule])
    actions = dict(re.findall(r"^\| `(\w+)` \|.*\| `(action: .*)` \|$", section("Actions"), re.M))
    assert list(actions) == list(get_args(Action))
    for name, example in actions.items():
        keys = {"name": "r", "trigger": "interval", "every": 1, "scope": "team", "prompt": "x"}
        rule = HeartbeatRule.model_validate(keys | yaml.safe_load(example))
        assert rule.action.do == name


def test_the_examples_of_rules_and_conditions_work() -> None:
    written = TEXT.partition("    heartbeats:\n")[2].partition("\n\nThe list")[0]
    rules = [HeartbeatRule.model_validate(each) for each in yaml.safe_load(written)]
    assert [rule.name for rule in rules] == ["reflect", "pivot", "sanity"]
    check_rules(rules)
    conditions = [line.strip() for line in section("Conditions").splitlines() if line[:4] == "    "]
    assert len(conditions) == 4
    for when in conditions:
        keys = {"name": "r", "trigger": "interval", "every": 1, "prompt": "x", "when": when}
        check_rules([HeartbeatRule.model_validate(keys)])


def test_the_names_that_conditions_may_use_exist() -> None:
    listed = section("Conditions").partition("`agent`: ")[2]
    of_agent, _, of_team = listed.partition("`team`: ")
    for names, view in ((of_agent, AgentView), (of_team, TeamView)):
        known = {each.name for each in fields(view)} | set(dir(view))
        mentioned = re.findall(r"`(\w+)(?:\(.*?\))?`", names.partition(". ")[0])
        assert len(mentioned) > 10
        assert set(mentioned) <= known
