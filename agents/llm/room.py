"""The room that an agent's conversation has in the window of its model, and how it is made."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.agents.base import AgentContext
from harness.agents.config import ModelConfig
from harness.agents.conversation import Message, Operation, fold, reduce, size, user
from harness.agents.llm.compaction import Summariser
from harness.agents.llm.state import Desk, Gauge
from harness.agents.llm.window import Lengths, Window, calibrated, length, new_gauge, refused
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
        self._lengths = Lengths()
        self._fixed: dict[int, int] = {}

    def gauge(self, desk: Desk) -> Gauge:
        """What is known of the model in force."""
        name = _name(self._context.model)
        gauge = desk.gauge
        return gauge if gauge and gauge["model"] == name else new_gauge(name)

    def overflows(self, desk: Desk, messages: Sequence[Message], tools: Tools) -> bool:
        """Whether older turns are to be folded before the model is asked."""
        return desk.restart or self._lengths.of(messages) > self._window(desk, tools).above

    def answered(
        self, gauge: Gauge, messages: Sequence[Message], tools: Tools, prompt_tokens: int
    ) -> Gauge:
        """What the answer to a request with these messages shows."""
        characters = self._lengths.of(messages) + self._beside(tools)
        return calibrated(gauge, characters, prompt_tokens)

    def refused(
        self, desk: Desk, request: Sequence[Message], tools: Tools, error: ContextTooLongError
    ) -> Desk:
        """What it shows that a request was too long.

        Raises:
            ContextTooLongError: `error`, when the conversation was as short as it can be.
        """
        if desk.squeeze == MAX_SQUEEZES:
            raise error
        characters = length(request) + length(tools)
        answer = self._context.model.max_output_tokens
        gauge = refused(self.gauge(desk), characters, error, answer)
        return replace(desk, squeeze=desk.squeeze + 1, gauge=gauge)

    async def compact(
        self, desk: Desk, messages: Sequence[Message], tools: Tools
    ) -> list[Operation]:
        """Operations by which older turns give way to a summary."""
        context, squeeze = self._context, desk.squeeze
        window = self._window(desk, tools)
        target = window.to // 2**squeeze
        everything = desk.restart or squeeze == MAX_SQUEEZES
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
                "after": size(reduce(list(messages), [operations])),
                "messages": len(planned.removed),
                "trims": planned.trims,
                "summary": summary["content"],
                "why": "restart" if desk.restart else "too_long" if squeeze else "size",
                **about,
            }
        )
        return operations

    def _window(self, desk: Desk, tools: Tools) -> Window:
        context = self._context
        fixed = self._beside(tools)
        return Window(context.model, context.config.compaction, self.gauge(desk), fixed)

    def _beside(self, tools: Tools) -> int:
        """Characters of what goes with every request. The lists of tools stay the same objects."""
        if id(tools) not in self._fixed:
            self._fixed[id(tools)] = length([self._system]) + length(tools)
        return self._fixed[id(tools)]


def _name(model: ModelConfig) -> str:
    """What tells models apart: one name may be served by several endpoints."""
    return f"{model.name}@{model.base_url}" if model.base_url else str(model.name)
