"""What can be changed of a live run, and what cannot."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.base import Usage
from harness.agents.heartbeats.config import default_rules
from harness.clock import SystemClock
from harness.errors import ConfigurationError
from harness.run.budget import Budget
from harness.run.config import BudgetConfig, RunConfig
from harness.run.settings import changed


def config(**values: Any) -> RunConfig:
    return RunConfig.model_validate({"budget": {"evaluations": 100}, **values})


def used(evaluations: int = 10) -> Budget:
    return Budget(
        BudgetConfig(),
        evaluations=evaluations,
        usage=Usage(cost_usd=0.0),
        wall_before_s=0.0,
        clock=SystemClock(),
    )


def apply(before: RunConfig, **values: Any) -> RunConfig:
    keys = {key.replace("__", "."): value for key, value in values.items()}
    return changed(before, keys, used(), default_rules())


def test_budgets_are_replaced_or_added_to() -> None:
    before = config()
    assert apply(before, budget__evaluations=50).budget.evaluations == 50
    assert apply(before, budget__evaluations="+50").budget.evaluations == 150
    assert apply(before, budget__hours="+1.5").budget.hours == 1.5
    assert before.budget.evaluations == 100, "the argument is left as it is"


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_additions_add(total: int, more: int) -> None:
    before = RunConfig.model_validate({"budget": {"tokens": total}})
    assert apply(before, budget__tokens=f"+{more}").budget.tokens == total + more


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": 3}, "'seed' cannot be changed"),
        ({"sandbox__provider": "docker"}, "cannot be changed"),
        ({"agent__kind": "offline"}, "cannot be changed"),
        ({"agentsx": 3}, "cannot be changed"),
        ({"budget__evalutions": 3}, "unknown key 'budget.evalutions'"),
        ({"budget__evaluations": 10}, "10 are used already"),
        ({"budget__evaluations": -1}, "'budget.evaluations' is -1"),
        ({"budget__evaluations": "+many"}, "'budget.evaluations' is '+many'"),
        ({"target": "+1"}, "only budgets"),
        ({"agents": 0}, "'agents' is 0"),
        ({"heartbeats__nobody__every": 3}, "names no setting of a heartbeat rule"),
        ({"heartbeats__pivot": 3}, "names no setting of a heartbeat rule"),
        ({"agent__model__temperature": 9}, "temperature"),
    ],
)
def test_refusals(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        apply(config(), **values)
    assert said in str(caught.value)


def test_rules_are_changed_by_name() -> None:
    after = apply(config(), heartbeats__pivot__every=3)
    assert after.heartbeats is not None
    by_name = {rule.name: rule for rule in after.heartbeats}
    assert by_name["pivot"].every == 3
    assert len(by_name) == len(default_rules()), "the others stay in force"


def test_the_first_group_takes_up_a_change_of_the_number() -> None:
    groups = [{"count": 2, "role": "a"}, {"count": 3, "kind": "offline"}]
    before = config(agents=groups)
    after = apply(before, agents=7)
    assert [group.count for group in after.groups] == [4, 3]
    with pytest.raises(ConfigurationError, match="groups behind"):
        apply(before, agents=2)


def test_models_of_a_live_run() -> None:
    before = config(agent={"model": {"name": "a", "temperature": 0.5}})
    after = apply(before, agent__model__name="b", agent__max_turns=7)
    assert (after.agent.model.name, after.agent.model.temperature) == ("b", 0.5)
    assert after.agent.max_turns == 7
