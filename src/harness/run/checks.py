"""What can be known to be wrong with a configuration before anything is made."""

from pathlib import Path

from harness.agents.config import AgentConfig, ModelConfig
from harness.agents.heartbeats.rules import check_rules
from harness.agents.pricing import price_of
from harness.agents.registry import make_agent
from harness.errors import ConfigurationError
from harness.run.config import RunConfig
from harness.run.rules import PLAIN_AGENTS, heartbeat_rules, only_plain, prompt_folders
from harness.sandbox.base import Capabilities, SandboxProvider
from harness.tasks.base import Task


def check_config(config: RunConfig, task: Task) -> None:
    """Check a configuration for a task.

    Raises:
        ConfigurationError: An agent that cannot be made, rules that cannot be rendered, or money
            without a price.
    """
    for agent in config.agent_configs:
        _check_models(agent)
        make_agent(agent.resolved_kind, agent)
        if agent.resolved_kind not in PLAIN_AGENTS:
            _check_prompts(task, agent)
    check_rules(heartbeat_rules(config), prompt_folders(task.folder, config.agent))
    ends = config.budget.evaluations is not None or config.budget.hours is not None
    if only_plain(config) and not ends:
        raise ConfigurationError(
            "a budget of tokens or USD never ends a run of the offline agent: it calls no model",
            expected="a budget of evaluations or hours",
            action="add --evals or --hours, or name a --model",
        )
    if config.budget.usd is not None:
        check_prices(config)


def check_prices(config: RunConfig) -> None:
    """A budget in USD needs the price of every model.

    Raises:
        ConfigurationError: Names a model of unknown price.
    """
    for model in _models(config):
        if price_of(model) is None:
            raise ConfigurationError(
                f"a budget in USD, but the price of model {model.name!r} is unknown",
                expected="a known price, so that the budget can be kept",
                action="set agent.model.price_input and price_output in harness.yaml"
                " (USD per million tokens), or use --tokens",
            )


def check_isolation(config: RunConfig, capabilities: Capabilities) -> None:
    """Code that a model wrote needs isolation, or a user who knows.

    Raises:
        ConfigurationError: The provider does not isolate and `unsafe` is not set.
    """
    if not only_plain(config):
        require_isolation(capabilities, unsafe=config.sandbox.unsafe)


def require_isolation(capabilities: Capabilities, *, unsafe: bool) -> None:
    """For code that a model wrote, whoever's.

    Raises:
        ConfigurationError: The provider does not isolate, and it is not `unsafe` that is wanted.
    """
    if capabilities.isolates_model_code or unsafe:
        return
    raise ConfigurationError(
        f"the sandbox {capabilities.name!r} does not isolate code that a model writes"
        f" (not enforced: {', '.join(capabilities.not_enforced)})",
        expected="Docker or bubblewrap",
        action="install docker or bubblewrap (`harness doctor` says how), or add --unsafe on a"
        " machine you can lose",
    )


def check_egress(config: RunConfig, provider: SandboxProvider) -> None:
    """The proxy is reached through a folder that the sandbox sees.

    Raises:
        ConfigurationError: The provider's sandboxes see no folders of this machine.
    """
    if config.sandbox.egress.hosts and not provider.shares_files:
        raise ConfigurationError(
            "sandbox.egress.hosts: the sandboxes are on another machine, or see no folders of this",
            expected="a Docker daemon on this machine, bubblewrap or processes",
            action="unset sandbox.egress.hosts, or choose another sandbox",
        )


def _check_prompts(task: Task, agent: AgentConfig) -> None:
    from harness.agents.prompts.check import check_prompts  # loads what plain agents do not need

    if agent.prompts and not Path(agent.prompts).expanduser().is_dir():
        raise ConfigurationError(
            f"'agent.prompts' is {agent.prompts!r}, which is no folder",
            expected="a folder with templates that stand in for the shipped ones",
            action="correct 'agent.prompts'",
        )
    check_prompts(prompt_folders(task.folder, agent))


def _check_models(agent: AgentConfig) -> None:
    kind = agent.resolved_kind
    if kind in ("llm", "pipeline") and not all(model.name for model in agent.choices):
        raise ConfigurationError(
            f"the {kind} agent has no model",
            expected="the name of a model as the endpoint knows it",
            action="add --model NAME, or use --agent offline",
        )


def _models(config: RunConfig) -> list[ModelConfig]:
    agents = [a for a in config.agent_configs if a.resolved_kind not in PLAIN_AGENTS]
    return [model for agent in agents for model in agent.choices]
