"""The `command` agent: one run of an external coding agent's CLI for each directive."""

from harness.agents.addresses import resolve_endpoint
from harness.agents.base import AgentConfig, AgentContext
from harness.agents.command.presets import preset_of
from harness.errors import ConfigurationError


class CommandAgent:
    """Has a coding agent's CLI work in the sandbox. Safe to share between contexts.

    Raises:
        ConfigurationError: On construction, when command, model or endpoint are not configured, or
            the extra `mcp` is not installed.
    """

    def __init__(self, config: AgentConfig) -> None:
        models = [model for model in config.choices if model.name]
        self._preset = preset_of(config.command, models[0].name if models else None)
        for model in models:
            resolve_endpoint(model)
        self._models = models
        try:
            from harness.agents.command import worker
        except ImportError as error:
            raise ConfigurationError(
                f"the command agent cannot start: {error}",
                expected="the packages of the extra `mcp`",
                action="pip install 'research-harness[mcp]'",
            ) from error
        self._work = worker.work

    async def check(self) -> None:
        """Ask the endpoints once, so that a wrong address or key is known before the first step."""
        from harness.agents.command.call import speaks_anthropic
        from harness.agents.model import ModelClient

        for model in self._models:
            endpoint = resolve_endpoint(model)
            if speaks_anthropic(model, endpoint.url):
                continue
            client = ModelClient(model, endpoint)
            try:
                await client.check()
            finally:
                await client.close()

    async def run(self, context: AgentContext) -> None:
        """Work until the run is over; after a resume, the open directive is begun again.

        Raises:
            BudgetExhaustedError: A model call or a submission does not fit the budget.
            ConfigurationError: The command is not in the sandbox.
            InfrastructureError: The sandbox failed, or the command ends again and again without
                doing anything.
        """
        await self._work(context, self._preset)
