"""The summary that stands in for older turns: by the model, checked, or put together."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.agents.base import AgentContext
from harness.agents.conversation import Message, decided, noted, user
from harness.agents.model import ModelClient
from harness.agents.prompts import Kept, summary_prompt, summary_request, summary_system
from harness.agents.text import clean, clip
from harness.errors import (
    BudgetExhaustedError,
    ContextTooLongError,
    ModelRefusedError,
    ModelUnavailableError,
)
from harness.ids import AttemptId

KEPT_ITEMS = 40
"""Notes, decisions and attempts that a summary lists, the newest."""

_WORTH_ASKING = 0.1
"""Share of the room below which removed turns are not worth a call of the model."""
_WORTH_CHARACTERS = 2000
_OUTPUT_CHARACTERS = 1500
_WORDS_SHARE = 0.5
_LEAST_WORDS = 40
"""Characters below which an answer is no summary."""

_NO_SUMMARY = (
    BudgetExhaustedError,
    ContextTooLongError,
    ModelRefusedError,
    ModelUnavailableError,
)

_ATTEMPT = re.compile(r"\battempts?\s+#?(\d+)", re.IGNORECASE)


class Summariser:
    """Writes summaries for one agent."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context

    async def summary(
        self, removed: Sequence[Message], room: int, client: ModelClient | None
    ) -> tuple[Message, dict[str, Any]]:
        """The message that stands in for `removed`, and what the transcript says of it.

        Without `client`, or when it gives nothing usable, the summary is put together from what the
        run knows. The attempts that `removed` was about are in it in any case.

        Args:
            removed: The turns that go, an earlier summary among them.
            room: Characters that are left for conversation and summary.
            client: Asks the model for its own words.
        """
        kept = _kept(removed)
        words, about = "", {"by": "run"}
        worth = max(_WORTH_CHARACTERS, room * _WORTH_ASKING)
        if client is not None and size_of(removed) >= worth:
            words, about = await self._ask(removed, room, client)
        if words:
            kept = Kept(kept.notes, kept.decisions, words)
        attempts = self._attempts(removed)
        if words:
            attempts = [each for each in attempts if not _mentions(words, each)]
        text = summary_prompt(self._context, kept, attempts, own=bool(words))
        message = user(text, "summary") | {
            "notes": list(kept.notes),
            "decisions": list(kept.decisions),
            "words": kept.words,
        }
        return message, about

    async def _ask(
        self, removed: Sequence[Message], room: int, client: ModelClient
    ) -> tuple[str, dict[str, Any]]:
        """The model's own summary; empty when there is none, and why."""
        turns = clip(rendered(removed), max(4000, room))
        request = [
            {"role": "system", "content": summary_system(self._context)},
            user(summary_request(self._context, turns), "compaction"),
        ]
        sent = [{key: each[key] for key in ("role", "content")} for each in request]
        try:
            answer = await client.complete(sent, [], self._context.model_call)
        except _NO_SUMMARY as error:
            # The put-together summary does as well; what is wrong shows again at the next turn.
            return "", {"by": "run", "failed": str(error)[:500]}
        words = clean(str(answer.message.get("content") or "")).strip()
        cut = answer.finish_reason == "length" or "tool_calls" in answer.message
        if cut or len(words) < _LEAST_WORDS:
            return "", {"by": "run", "failed": f"no summary ({answer.finish_reason})"}
        return clip(words, max(2000, int(room * _WORDS_SHARE))), {"by": "model"}

    def _attempts(self, removed: Sequence[Message]) -> list[AttemptId]:
        """Attempts that the removed turns were about: own ones, bases and references; the best."""
        graph = self._context.graph
        named = {
            AttemptId(number)
            for message in removed
            if message.get("harness") in ("directive", "summary") or message["role"] == "tool"
            for number in _ATTEMPT.findall(str(message.get("content") or ""))
        }
        # What a board lists is not what the agent worked with: of others' only those expanded.
        expanded = {
            parent
            for attempt in graph
            if attempt.agent == self._context.agent
            for parent in (*attempt.parents, *attempt.references)
        }
        mattered = [
            attempt.id
            for attempt in graph
            if attempt.id in named
            and (attempt.agent == self._context.agent or attempt.id in expanded)
        ]
        best = graph.best
        if best is not None and best.id not in mattered:
            mattered.append(best.id)
        return mattered[-KEPT_ITEMS:]


def _kept(removed: Sequence[Message]) -> Kept:
    earlier = [str(message["words"]) for message in removed if message.get("words")]
    return Kept(
        notes=tuple(noted(removed)[-KEPT_ITEMS:]),
        decisions=tuple(decided(removed)[-KEPT_ITEMS:]),
        words=earlier[-1] if earlier else "",
    )


def _mentions(words: str, attempt: AttemptId) -> bool:
    """Whether the words name the attempt: `attempt 12`, `attempts 3, 12`, `#12`."""
    listed = r"(?:#?\d+(?:\s*(?:,|and|to|vs\.?|/|→|->|&)\s*(?:attempts?\s*)?)+)*"
    return bool(
        re.search(rf"\battempts?\s+{listed}#?{re.escape(attempt)}\b", words, re.IGNORECASE)
        or re.search(rf"#{re.escape(attempt)}\b", words)
    )


def rendered(messages: Sequence[Message]) -> str:
    """Turns as text for a reader: who said what, outputs shortened."""
    lines: list[str] = []
    for message in messages:
        content = str(message.get("content") or "")
        match message["role"]:
            case "tool":
                lines.append(f"[result]\n{clip(content, _OUTPUT_CHARACTERS)}")
            case "assistant":
                lines += [f"[you]\n{content}"] if content else []
                lines += [_call(call) for call in message.get("tool_calls", ())]
            case _:
                kind = message.get("harness", "message")
                lines.append(f"[{kind}]\n{clip(content, 4 * _OUTPUT_CHARACTERS)}")
    return "\n".join(lines)


def _call(call: Mapping[str, Any]) -> str:
    function = call["function"]
    return f"[you call {function['name']}]\n{clip(function['arguments'], _OUTPUT_CHARACTERS)}"


def size_of(messages: Sequence[Message]) -> int:
    """Characters of what the messages say."""
    return len(rendered(messages))
