"""The heartbeat rules in force, and other things the kinds of agents decide."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.agents.config import AgentConfig
from harness.agents.heartbeats.base import HeartbeatRule
from harness.agents.heartbeats.config import default_rules
from harness.run.config import RunConfig

PROMPTS = "prompts"
"""Folder of a task whose templates stand in for the shipped prompts."""

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


def replaced(
    rules: Sequence[Mapping[str, Any]], name: str, document: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    """The rules with one changed in its place, added at the end, or left out (None)."""
    if document is None:
        return [each for each in rules if each["name"] != name]
    if any(each["name"] == name for each in rules):
        return [document if each["name"] == name else each for each in rules]
    return [*rules, document]


def prompt_folders(task: Path, config: AgentConfig) -> tuple[Path, ...]:
    """Where templates are looked for before the shipped ones: the run's, then those in the task's
    folder."""
    folders = [Path(config.prompts).expanduser()] if config.prompts else []
    folders.append(task / PROMPTS)
    return tuple(folder for folder in folders if folder.is_dir())
