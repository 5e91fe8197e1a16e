"""Agents by kind: built in, by entry point, or `package.module:Class`."""

from importlib.metadata import EntryPoint, entry_points
from typing import cast

from harness.agents.base import Agent, AgentConfig
from harness.errors import ConfigurationError

GROUP = "harness.agents"
BUILT_IN = {
    "offline": "harness.agents.offline:OfflineAgent",
    "llm": "harness.agents.llm:LlmAgent",
}


def make_agent(kind: str, config: AgentConfig) -> Agent:
    """An agent of this kind, constructed with the configuration.

    `auto` is `llm` when `config` names a model, else `offline`. Only the module that is needed gets
    imported.

    Raises:
        ConfigurationError: No such kind; lists those that exist.
    """
    if kind == "auto":
        kind = "llm" if config.model.name else "offline"
    plugins = {point.name: point.value for point in entry_points(group=GROUP)}
    known = plugins | BUILT_IN
    reference = known.get(kind, kind)
    if ":" not in reference:
        raise ConfigurationError(
            f"there is no agent {kind!r}",
            expected=f"auto, one of {', '.join(sorted(known))}, or package.module:Class",
            action="set --agent to one of these",
        )
    try:
        factory = EntryPoint(kind, reference, GROUP).load()
    except (ImportError, AttributeError) as error:
        module, _, attribute = reference.partition(":")
        raise ConfigurationError(
            f"the agent {reference!r} cannot be loaded: {error}",
            expected=f"a module {module!r} on the path with a class {attribute!r}",
            action="install the package, or correct --agent",
        ) from error
    return cast(Agent, factory(config))
