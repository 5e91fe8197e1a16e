"""The `llm` agent as the run sees it."""

from harness.agents.base import AgentContext
from harness.agents.endpoints import NeedsModels
from harness.agents.llm.loop import Worker
from harness.agents.saver import open_checkpoints


class LlmAgent(NeedsModels):
    """Turns directives into attempts with a model and tools. Safe to share between contexts."""

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
