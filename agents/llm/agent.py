"""The `llm` agent as the run sees it."""

from harness.agents.base import AgentConfig, AgentContext
from harness.agents.endpoints import EndpointPool
from harness.agents.llm.loop import Worker
from harness.agents.model import resolve_endpoint
from harness.agents.saver import open_checkpoints


class LlmAgent:
    """Turns directives into attempts with a model and tools. Safe to share between contexts.

    Raises:
        ConfigurationError: On construction, when an endpoint or a model is not configured.
    """

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        for model in config.choices:
            resolve_endpoint(model)

    async def check(self) -> None:
        """Ask each endpoint once, so that a wrong address or key is known before the first step."""
        pool = EndpointPool()
        asked: set[tuple[str, str]] = set()
        try:
            for model in self._config.choices:
                client = pool.client(model)
                place = (client.url, model.key_variable)
                if place not in asked:
                    asked.add(place)
                    await client.check()
        finally:
            await pool.close()

    async def run(self, context: AgentContext) -> None:
        """Work until the run is over; after a resume, from the last checkpoint on.

        Raises:
            BudgetExhaustedError: A model call or a submission does not fit the budget.
            ModelUnavailableError: The endpoint does not answer.
            ModelRefusedError: The endpoint refuses the key, the model or the request.
            ContextTooLongError: Even the shortest conversation is too long for the endpoint.
        """
        with open_checkpoints(context.checkpoints) as saver:
            await Worker(context).work(saver)
