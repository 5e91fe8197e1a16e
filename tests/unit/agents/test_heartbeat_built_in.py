"""The built-in rules: each fires for its own reason, and says something about whom it reaches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.agents.rulebook import Book, agent, attempt, team

from harness.agents.heartbeats.base import AgentView, HeartbeatRule, TeamView
from harness.agents.heartbeats.config import BUILT_IN
from harness.agents.heartbeats.rules import check_rules, default_rules

RECENT = tuple(attempt(number, f"agent-{number % 2 + 1}", tree="a" * 40) for number in range(30))
BEST = {"best_score": 2.5, "best_attempt": "7", "best_agent": "agent-2"}
PAIR = (agent(best_score=1.5), agent("agent-2", best_score=2.5, focus="hexagons"))


def pair(**first: Any) -> tuple[AgentView, AgentView]:
    return replace(PAIR[0], **first), PAIR[1]


REASONS: list[tuple[str, TeamView, Sequence[str], str]] = [
    (
        "reflect",
        team(*pair(evaluations=5), **BEST),
        ["agent-1"],
        "You have had 5 evaluations; your best score is 1.5, the team's 2.5 (attempt 7).",
    ),
    (
        "consolidate",
        team(*PAIR, evaluations=20, **BEST),
        ["agent-1"],
        "had 20 evaluations; the best",
    ),
    (
        "pivot",
        team(*pair(evaluations=9, since_improvement=8), **BEST),
        ["agent-1"],
        "Your last 8 evaluations brought no personal best (it is 1.5).",
    ),
    (
        "refocus",
        team(*pair(idle_s=601.0, operator="improve", base="3"), **BEST),
        ["agent-1"],
        "10 min without a model or tool event",
    ),
    (
        "diversify",
        team(*PAIR, recent=RECENT, **BEST),
        ["agent-1", "agent-2"],
        "11 of the last 12 attempts are near-copies",
    ),
    ("lint", team(*PAIR, evaluations=50, **BEST), ["agent-1"], "look after the memory"),
    (
        "wrap_up",
        team(*PAIR, budget_used=0.9, limits="x", evaluations_left=3, **BEST),
        ["agent-1", "agent-2"],
        "90% of the budget is used; the whole team has 3 evaluations left.",
    ),
    (
        "dream",
        team(*PAIR, evaluations=40, since_improvement=24, recent=RECENT, **BEST),
        ["agent-2"],
        "- attempt 29, improve of 0, score 1: “t”",
    ),
]


def test_all_built_in_rules_are_looked_at_here() -> None:
    check_rules(default_rules())
    assert [name for name, *_ in REASONS] == list(BUILT_IN)


@pytest.mark.parametrize(("name", "seen", "told", "text"), REASONS, ids=list(BUILT_IN))
def test_a_built_in_rule_fires_for_its_own_reason(
    name: str, seen: TeamView, told: Sequence[str], text: str
) -> None:
    built_in = HeartbeatRule.model_validate(name)
    firings = Book(built_in).ask(seen)
    interventions = [each for firing in firings for each in firing.interventions]
    assert [each.agent for each in interventions] == told
    assert interventions[0].text.startswith(f"[heartbeat: {name}]\n")
    assert text in interventions[0].text
    assert "\n\n\n" not in interventions[0].text
    assert len(interventions[0].text) < 4000
    # And not before: the same team without what it looks at.
    calm = team(*(agent(each.agent) for each in seen.agents))
    assert not Book(built_in).ask(calm)


def test_the_default_rules_leave_a_calm_team_alone() -> None:
    seen = team(agent(evaluations=4, since_improvement=7), agent("agent-2"), evaluations=19)
    assert not Book(*default_rules()).ask(seen)
