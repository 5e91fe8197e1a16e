"""Agents by kind: built in, by entry point, or `package.module:Class`."""

from typing import cast

from harness.agents.base import Agent, AgentConfig
from harness.plugins import load_plugin

GROUP = "harness.agents"
BUILT_IN = {
    "offline": "harness.agents.offline:OfflineAgent",
    "llm": "harness.agents.llm:LlmAgent",
    "command": "harness.agents.command.agent:CommandAgent",
    "pipeline": "harness.agents.pipeline.agent:PipelineAgent",
}


def make_agent(kind: str, config: AgentConfig) -> Agent:
    """An agent of this kind, constructed with the configuration.

    `auto` is resolved by what `config` names. Only the module that is needed gets imported.

    Raises:
        ConfigurationError: No such kind; lists those that exist.
    """
    if kind == "auto":
        kind = config.resolved_kind
    factory = load_plugin(kind, group=GROUP, built_in=BUILT_IN, what="agent", flag="--agent")
    return cast(Agent, factory(config))
