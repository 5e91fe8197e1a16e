"""Model steps of an agent, made from its transcript: what the model was sent, what it answered.

`llm` agents have one conversation, which is followed record by record as the agent changed it
(`harness.agents.conversation`); `pipeline` agents ask questions that stand alone. What the program
of a `command` agent sent is in no transcript.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.agents.conversation import (
    Fold,
    Message,
    directive_index,
    reduce,
    sendable,
    tool,
    unanswered,
    user,
)

Record = Mapping[str, Any]

NOT_RUN = "Not run."
"""Stands for the answer to a tool call that something came before."""


@dataclass(frozen=True, slots=True)
class Step:
    """One answer of a model."""

    at: float
    turn: int | None
    """Of `llm` agents: its number in the directive, from 1."""
    stage: str | None
    """Of `pipeline` agents: what was asked for."""
    prompt: list[Message]
    completion: Message
    reasoning: str | None
    finish_reason: str | None


@dataclass(slots=True)
class Steps:
    """The steps of an agent, and how many answers are no steps as their prompts are not known."""

    found: list[Step] = field(default_factory=list[Step])
    left_out: int = 0


def read_steps(records: Iterable[Record]) -> Steps:
    """The model steps of a transcript, in order; an answer that a restart made void is none."""
    steps = Steps()
    talk, questions = _Conversation(steps), _Questions(steps)
    for record in records:
        if not _usable(record):
            continue
        if record["type"] == "system":
            talk.system = questions.system = record["message"]
        elif "stage" in record:
            questions.take(record)
        else:
            talk.take(record)
    return steps


def _usable(record: Record) -> bool:
    """Of the types that make a conversation, and whole."""
    kind = record.get("type")
    if kind == "compaction":
        return isinstance(record.get("messages"), int)
    return kind in ("system", "user", "assistant", "tool") and isinstance(
        record.get("message"), dict
    )


def _step(record: Record, prompt: list[Message]) -> Step:
    return Step(
        at=float(record.get("at") or 0.0),
        turn=record.get("turn"),
        stage=record.get("stage"),
        prompt=prompt,
        completion=sendable([record["message"]])[0],
        reasoning=record.get("reasoning") or None,
        finish_reason=record.get("finish_reason"),
    )


class _Conversation:
    """What an `llm` agent's model saw, kept as the agent keeps it."""

    def __init__(self, steps: Steps) -> None:
        self.system: Message | None = None
        self._steps = steps
        self._messages: list[Message] = []
        self._keys: dict[str, int] = {}
        self._turn: int | None = None
        self._answer_at = 0
        self._before: tuple[int, list[Message]] | None = None
        """Characters and messages before a compaction, until the next answer."""

    def take(self, record: Record) -> None:
        """Change the conversation by a record."""
        match record["type"]:
            case "user":
                self._hear(record["message"])
            case "assistant":
                self._answered(record)
            case "tool":
                self._result(record)
            case _:
                self._compacted(record)

    def _hear(self, message: Message) -> None:
        if message.get("harness") in ("directive", "research"):
            self._turn = None
            if self._messages and self._messages[-1] == message:
                return  # said once more after a restart
        self._close()
        self._messages.append(message)

    def _close(self) -> None:
        """Every tool call has an answer before anything else is said."""
        waiting = unanswered(self._messages)
        self._messages += [tool(str(call.get("id", "")), NOT_RUN) for call in waiting]

    def _answered(self, record: Record) -> None:
        turn = record.get("turn")
        if turn is not None and turn == self._turn:  # the first answer was lost by a kill
            del self._messages[self._answer_at :]
            if self._steps.found and self._steps.found[-1].turn == turn:
                self._steps.found.pop()
        self._close()
        # `protocol` is written by `llm` agents alone.
        if self.system is None or "protocol" not in record:
            self._steps.left_out += 1
        else:
            prompt = sendable([self.system, *self._messages])
            self._steps.found.append(_step(record, prompt))
        self._turn, self._answer_at = turn, len(self._messages)
        self._messages.append(record["message"])
        self._before = None

    def _result(self, record: Record) -> None:
        key = record.get("key")
        place = self._keys.get(key) if isinstance(key, str) else None
        if place is not None and place < len(self._messages):  # run once more after a restart
            self._messages[place] = record["message"]
            return
        if isinstance(key, str):
            self._keys[key] = len(self._messages)
        self._messages.append(record["message"])

    def _compacted(self, record: Record) -> None:
        characters, count = record.get("characters"), record["messages"]
        if self._before is not None and self._before[0] == characters:  # done once more
            self._messages = self._before[1]
        if isinstance(characters, int):
            self._before = characters, self._messages
        start = directive_index(self._messages)
        removed = [*self._messages[:start], *self._messages[start + 1 : count + 1]]
        fold = Fold(removed if count else [], start, count + 1, record.get("trims") or [])
        summary = user(str(record.get("summary") or ""), "summary")
        self._messages = reduce(self._messages, [fold.operations(summary)])
        self._keys.clear()


class _Questions:
    """The questions of a `pipeline` agent: each stands alone, or follows one not answered well."""

    def __init__(self, steps: Steps) -> None:
        self.system: Message | None = None
        self._steps = steps
        self._asked: list[Message] = []

    def take(self, record: Record) -> None:
        """A question or an answer; the other stages say nothing to a model."""
        message = record["message"]
        if record["type"] == "user" and "rule" not in record:
            self._asked = [*record.get("before", []), message]
        elif record["type"] == "assistant":
            if self.system is None or not self._asked:
                self._steps.left_out += 1
            else:
                prompt = sendable([self.system, *self._asked])
                self._steps.found.append(_step(record, prompt))
