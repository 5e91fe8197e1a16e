"""Delivers and journals what the heartbeat rules ask for."""

from collections.abc import Sequence

from harness.agents.heartbeats.base import HeartbeatRule
from harness.agents.heartbeats.rules import check_rules, evaluate_rules
from harness.attempt import Attempt
from harness.ids import SEED_AGENT, AgentId
from harness.run.config import RunConfig
from harness.run.core import Core
from harness.run.rules import heartbeat_rules


class Pulse:
    """Looks at an agent after each of its verdicts and queues the interventions that fire."""

    def __init__(self, core: Core, rules: Sequence[HeartbeatRule]) -> None:
        self._core = core
        self._rules = rules

    def configure(self, config: RunConfig) -> None:
        """Take the rules from a new configuration."""
        rules = heartbeat_rules(config)
        check_rules(rules)
        self._rules = rules

    def after(self, attempt: Attempt) -> None:
        """An attempt was judged."""
        if not self._rules or attempt.agent == SEED_AGENT:
            return
        standings = self._core.standings
        fired = evaluate_rules(self._rules, standings.agent(attempt.agent), standings.team())
        for intervention in fired:
            standings.fire(AgentId(intervention.agent), intervention.rule)
            self._core.intervene(intervention)
