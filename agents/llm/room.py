"""The room that an agent's conversation has in the window of its model, and how it is made."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.agents.base import AgentContext
from harness.agents.config import ModelConfig
from harness.agents.conversation import Message, fold, reduce, size, user
from harness.agents.llm.compaction import Summariser
from harness.agents.llm.state import Gauge, State, Update
from harness.agents.llm.window import Window, calibrated, length, new_gauge, refused
from harness.errors import ContextTooLongError

MAX_SQUEEZES = 4
"""Times in a row that a conversation refused as too long is made shorter."""

Tools = Sequence[Mapping[str, Any]]


class Room:
    """Measures and makes room for one agent. The model is asked for anew at every turn.

    Args:
        system: The message that goes with every request.
    """

    def __init__(self, context: AgentContext, system: Message) -> None:
        self._context = context
        self._system = system
        self._summariser = Summariser(context)

    def gauge(self, state: State) -> Gauge:
        """What is known of the model in force."""
        name = _name(self._context.model)
        gauge = state.get("gauge")
        return gauge if gauge and gauge["model"] == name else new_gauge(name)

    def overflows(self, state: State, tools: Tools) -> bool:
        """Whether older turns are to be folded before the model is asked."""
        if state.get("restart"):
            return True
        return self._window(state, tools).overflows(state["messages"])

    def answered(
        self, gauge: Gauge, messages: Sequence[Message], tools: Tools, prompt_tokens: int
    ) -> Update:
        """What an answer to `messages` shows."""
        characters = length(messages) + length(tools)
        return {"squeeze": 0, "gauge": calibrated(gauge, characters, prompt_tokens)}

    def refused(
        self, state: State, messages: Sequence[Message], tools: Tools, error: ContextTooLongError
    ) -> Update:
        """What it shows that `messages` were too long.

        Raises:
            ContextTooLongError: `error`, when they were as short as they can be.
        """
        squeeze = state.get("squeeze", 0)
        if squeeze == MAX_SQUEEZES:
            raise error
        characters = length(messages) + length(tools)
        answer = self._context.model.max_output_tokens
        gauge = refused(self.gauge(state), characters, error, answer)
        return {"squeeze": squeeze + 1, "gauge": gauge}

    async def compact(self, state: State, tools: Tools) -> Update:
        """Older turns give way to a summary. One step: a kill leaves the old or the new."""
        context, messages = self._context, state["messages"]
        window = self._window(state, tools)
        squeeze, restart = state.get("squeeze", 0), bool(state.get("restart"))
        target = window.to // 2**squeeze
        everything = restart or squeeze == MAX_SQUEEZES
        planned = fold(messages, target, summary=target // 4, everything=everything)
        about: dict[str, Any] = {"by": "none"}
        summary: Message = user("", "summary")
        if planned.removed:
            context.say("summarising older turns")
            # Not in a hurry to fit: what was refused once may be so again.
            asks = context.config.compaction.by_model and not squeeze
            client = context.endpoints.client(context.model) if asks else None
            summary, about = await self._summariser.summary(planned.removed, window.to, client)
        operations = planned.operations(summary)
        context.log(
            {
                "type": "compaction",
                "characters": size(messages),
                "after": size(reduce(messages, [operations])),
                "messages": len(planned.removed),
                "summary": summary["content"],
                "why": "restart" if restart else "too_long" if squeeze else "size",
                **about,
            }
        )
        return {"messages": operations, "restart": False}

    def _window(self, state: State, tools: Tools) -> Window:
        context = self._context
        fixed = length([self._system]) + length(tools)
        return Window(context.model, context.config.compaction, self.gauge(state), fixed)


def _name(model: ModelConfig) -> str:
    """What tells models apart: one name may be served by several endpoints."""
    return f"{model.name}@{model.base_url}" if model.base_url else str(model.name)
