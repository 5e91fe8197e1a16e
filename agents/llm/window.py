"""How much of the model's context window a conversation takes."""

import json
from collections.abc import Sequence
from typing import Any

from harness.agents.config import CompactionConfig, ModelConfig
from harness.agents.conversation import Message, size
from harness.agents.llm.state import Gauge
from harness.errors import ContextTooLongError

CHARACTERS_PER_TOKEN = 3.0
"""Before the endpoint has said how many tokens it counted."""
FEWEST_CHARACTERS = 1.0
MOST_CHARACTERS = 4.5
"""Bounds of what is believed of an endpoint: some do not count what they have cached."""

_SHARE_OF_CEILING = 0.8
_LEAST_SHARE = 0.2


def new_gauge(model: str) -> Gauge:
    """What is known of a model that has not answered yet."""
    return {"model": model, "characters_per_token": CHARACTERS_PER_TOKEN, "ceiling": 0}


def calibrated(gauge: Gauge, characters: int, prompt_tokens: int) -> Gauge:
    """`gauge` after a request of `characters` was counted as `prompt_tokens`."""
    if prompt_tokens <= 0:
        return gauge
    ratio = min(MOST_CHARACTERS, max(FEWEST_CHARACTERS, characters / prompt_tokens))
    return {**gauge, "characters_per_token": round(ratio, 2)}


def refused(gauge: Gauge, characters: int, error: ContextTooLongError, answer: int) -> Gauge:
    """`gauge` after a request of `characters`, with `answer` tokens to come, was too long."""
    gauge = calibrated(gauge, characters, error.requested or 0)
    ceiling = min(gauge["ceiling"] or characters, characters)
    if error.limit is not None and error.limit > answer:
        fits = int((error.limit - answer) * gauge["characters_per_token"])
        ceiling = min(ceiling, max(1, fits))
    return {**gauge, "ceiling": ceiling}


class Window:
    """The room for the messages of a conversation, in characters.

    Args:
        model: The model in force.
        compaction: From what share of its window on older turns are folded, and down to what.
        fixed: Characters of what goes with every request: the system message and the tools.
    """

    def __init__(
        self, model: ModelConfig, compaction: CompactionConfig, gauge: Gauge, fixed: int
    ) -> None:
        window = model.context_tokens
        # What is asked for has to fit beside the answer.
        above = min(window * compaction.above, window - model.max_output_tokens)
        whole = max(above, window * _LEAST_SHARE) * gauge["characters_per_token"]
        if gauge["ceiling"]:
            whole = min(whole, gauge["ceiling"] * _SHARE_OF_CEILING)
        share = min(1.0, compaction.to / compaction.above)
        self.above = max(0, int(whole) - fixed)
        self.to = int(self.above * share)
        self.characters_per_token = gauge["characters_per_token"]


class Lengths:
    """Characters of messages as they are sent; each is measured once while it stays."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Message, int]] = {}

    def of(self, messages: Sequence[Message]) -> int:
        """All of them together."""
        before, self._known = self._known, {}
        for message in messages:
            known = before.get(id(message))
            if known is None or known[0] is not message:
                known = (message, size([message]))
            self._known[id(message)] = known
        return sum(characters for _, characters in self._known.values())


def length(value: Any) -> int:
    """Characters of a JSON value as it is sent."""
    return len(json.dumps(value, ensure_ascii=False, default=str))
