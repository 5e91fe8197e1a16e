"""Delivers and journals what the heartbeat rules ask for."""

from collections.abc import Sequence

from harness.agents.heartbeats.base import HeartbeatRule
from harness.agents.heartbeats.rules import evaluate_rules
from harness.attempt import Attempt
from harness.ids import SEED_AGENT, AgentId
from harness.run.core import Core


class Pulse:
    """Looks at an agent after each of its verdicts and queues the interventions that fire."""

    def __init__(self, core: Core, rules: Sequence[HeartbeatRule]) -> None:
        self._core = core
        self._rules = rules

    def after(self, attempt: Attempt) -> None:
        """An attempt was judged."""
        if not self._rules or attempt.agent == SEED_AGENT:
            return
        standings = self._core.standings
        fired = evaluate_rules(self._rules, standings.agent(attempt.agent), standings.team())
        for intervention in fired:
            evaluations = standings.fire(AgentId(intervention.agent), intervention.rule)
            self._core.store.interventions.queue(intervention, evaluations=evaluations)
