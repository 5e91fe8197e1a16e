"""Heartbeat rules at play: short ways to make rules and views, and a book that keeps the marks."""

from typing import Any

from harness.agents.heartbeats.base import (
    AgentView,
    AttemptView,
    Firing,
    HeartbeatRule,
    Mark,
    TeamView,
)
from harness.agents.heartbeats.rules import evaluate_rules

NOW = 1_000_000.0
MINUTE = 60.0


def rule(trigger: str = "interval", /, **keys: Any) -> HeartbeatRule:
    return HeartbeatRule.model_validate({"name": "r", "trigger": trigger, "prompt": "x", **keys})


def agent(name: str = "agent-1", **keys: Any) -> AgentView:
    return AgentView(name, **keys)


def team(*agents: AgentView, **keys: Any) -> TeamView:
    return TeamView(agents=agents, **keys)


class Book:
    """Asks the rules and keeps the marks, as a run does."""

    def __init__(self, *rules: HeartbeatRule) -> None:
        self.rules = rules
        self.marks: dict[tuple[str, str], Mark] = {}

    def ask(self, seen: TeamView, now: float = NOW) -> list[Firing]:
        judged = evaluate_rules(self.rules, seen, self.marks, now)
        assert not judged.problems
        for firing in judged.firings:
            self.marks[firing.rule.name, firing.subject] = firing.mark
        # Asking twice about the same moment changes nothing.
        assert not evaluate_rules(self.rules, seen, self.marks, now).firings
        return judged.firings


def attempt(number: int, who: str = "agent-1", *, tree: str = "", at: float = 0.0) -> AttemptView:
    shown = tree or f"{number:040x}"
    return AttemptView(
        str(number), who, "improve", "scored", 1.0, "t", "0", shown, at or float(number)
    )
