"""The heartbeat rules in force, and other things the kinds of agents decide."""

from collections.abc import Sequence

from harness.agents.heartbeats.base import HeartbeatRule
from harness.agents.heartbeats.rules import default_rules
from harness.run.config import RunConfig

PLAIN_AGENTS = frozenset({"offline"})
"""Agents that call no model: they write no code of a model's and read no messages."""


def kinds(config: RunConfig) -> list[str]:
    """The kinds of agents in the team, each once."""
    return list(dict.fromkeys(each.resolved_kind for each in config.agent_configs))


def only_plain(config: RunConfig) -> bool:
    """Whether no agent of the team calls a model."""
    return PLAIN_AGENTS.issuperset(kinds(config))


def heartbeat_rules(config: RunConfig) -> Sequence[HeartbeatRule]:
    """The configured rules; the built-in ones for agents that can read them."""
    if config.heartbeats is not None:
        return config.heartbeats
    return () if only_plain(config) else default_rules()
