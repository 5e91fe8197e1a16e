"""An agent's conversation: chat messages changed by operations that are replayed from a log.

The checkpoint stores the operations, not the list (LangGraph's DeltaChannel), so `reduce` must give
the same list however the operations are batched: it is a left fold, and no operation fails or
depends on anything but the list it is applied to.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast

Message = dict[str, Any]
"""A chat message of the OpenAI API. Our own marks are never sent: `harness` says what kind it is,
a summary keeps `notes` (titles of notes), `decisions` (words around submissions) and `words` (the
model's own summary)."""

_MARKS = frozenset({"harness", "notes", "decisions", "words"})

INVALID_ARGUMENTS = "arguments_that_are_not_json"
"""Key under which tool arguments that were not JSON are kept: some servers refuse to read them back
as they were."""

TRIMMED_CHARACTERS = 200
KEPT_CHARACTERS = 300
"""Of the words around a submission and of a note."""
KEPT_GROUPS = 3
"""Latest turns of a directive that compaction leaves alone if it can."""


class Append(TypedDict):
    """Add messages at the end."""

    op: Literal["append"]
    messages: list[Message]


class Splice(TypedDict):
    """Put `messages` in the place of those from `start` to `stop` (exclusive)."""

    op: Literal["splice"]
    start: int
    stop: int
    messages: list[Message]


class Trim(TypedDict):
    """Cut the outputs of tools among the first `stop` messages to `limit` characters."""

    op: Literal["trim"]
    stop: int
    limit: int


Operation = Append | Splice | Trim


def append(*messages: Message) -> Append:
    """Add messages at the end."""
    return {"op": "append", "messages": list(messages)}


def user(text: str, kind: str) -> Message:
    """A message to the model; `kind` says why: `directive`, `heartbeat`, `reminder`, `summary`."""
    return {"role": "user", "content": text, "harness": kind}


def tool(call: str, text: str) -> Message:
    """The answer to the tool call with the id `call`."""
    return {"role": "tool", "tool_call_id": call, "content": text}


def sendable(messages: Sequence[Message]) -> list[Message]:
    """`messages` as the endpoint takes them: without our marks, neighbouring user messages as one.

    (Chat templates of some local models insist on alternating roles.)
    """
    sent: list[Message] = []
    for message in messages:
        if sent and message["role"] == sent[-1]["role"] == "user":
            sent[-1]["content"] = f"{sent[-1]['content']}\n\n{message['content']}"
        else:
            sent.append({key: value for key, value in message.items() if key not in _MARKS})
    return sent


def noted(messages: Sequence[Message]) -> list[str]:
    """Notes that the agent wrote, as `title: what it says`; those of removed turns included."""
    notes: list[str] = []
    for message in messages:
        notes += message.get("notes", ())
        for arguments in _called(message, "memory_note"):
            title = str(arguments.get("title", "untitled"))
            claim = " ".join(str(arguments.get("text", "")).split())[:KEPT_CHARACTERS]
            notes.append(f"{title}: {claim}" if claim else title)
    return notes


def decided(messages: Sequence[Message]) -> list[str]:
    """What the agent said when it submitted, of removed turns too: the reasons for its attempts."""
    decisions: list[str] = []
    words = ""
    for message in messages:
        decisions += message.get("decisions", ())
        if message["role"] != "assistant":
            continue
        # Reasons are often given a turn before: the latest words count.
        words = " ".join(str(message.get("content") or "").split()) or words
        for arguments in _called(message, "submit"):
            title = str(arguments.get("title", "untitled"))
            decisions.append(f"{title}: {words[-KEPT_CHARACTERS:]}" if words else title)
            words = ""
    return decisions


def _called(message: Message, name: str) -> list[Message]:
    """The arguments of the message's calls of a tool, as far as they can be read."""
    found: list[Message] = []
    for call in message.get("tool_calls", ()):
        if call["function"]["name"] == name:
            arguments = json.loads(call["function"]["arguments"])
            found.append(cast(Message, arguments) if isinstance(arguments, dict) else {})
    return found


def reduce(messages: list[Message], writes: Sequence[Sequence[Operation]]) -> list[Message]:
    """`messages` after `writes`, each a list of operations. The argument is left as it is."""
    result = list(messages)
    for operations in writes:
        for operation in operations:
            result = _apply(result, operation)
    return result


def _apply(messages: list[Message], operation: Operation) -> list[Message]:
    if operation["op"] == "append":
        return [*messages, *operation["messages"]]
    if operation["op"] == "splice":
        start = max(0, operation["start"])
        stop = max(start, operation["stop"])
        return [*messages[:start], *operation["messages"], *messages[stop:]]
    stop = max(0, operation["stop"])
    trimmed = [_trim(message, operation["limit"]) for message in messages[:stop]]
    return [*trimmed, *messages[stop:]]


def _trim(message: Message, limit: int) -> Message:
    content = message.get("content")
    if message.get("role") != "tool" or not isinstance(content, str) or len(content) <= limit:
        return message
    left_out = len(content) - limit
    mark = f"\n[{left_out} characters removed to save room]"
    # Never longer than before, so that a second trim changes nothing.
    return message if len(mark) >= left_out else {**message, "content": content[:limit] + mark}


def size(messages: Sequence[Message]) -> int:
    """Characters of the messages as they are sent."""
    return len(json.dumps(sendable(messages), ensure_ascii=False, default=str))


def unanswered(messages: Sequence[Message]) -> list[Message]:
    """Tool calls of the last answer that have no result yet, in order."""
    answered = 0
    for message in reversed(messages):
        if message["role"] == "tool":
            answered += 1
        elif message["role"] == "assistant":
            return cast(list[Message], message.get("tool_calls", []))[answered:]
        else:
            return []
    return []


@dataclass(frozen=True, slots=True)
class Fold:
    """How a conversation is made smaller: `removed` gives way to a summary, outputs are cut."""

    removed: list[Message]
    start: int
    stop: int
    trims: list[Operation]

    def __bool__(self) -> bool:
        return bool(self.removed or self.trims)

    def operations(self, summary: Message) -> list[Operation]:
        """What does it; `summary` is put before the directive if anything is removed."""
        if not self.removed:
            return self.trims
        tail: Operation = {
            "op": "splice",
            "start": self.start + 1,
            "stop": self.stop,
            "messages": [],
        }
        head: Operation = {"op": "splice", "start": 0, "stop": self.start, "messages": [summary]}
        return [tail, head, *self.trims]


def fold(
    messages: Sequence[Message], budget: int, *, summary: int = 0, everything: bool = False
) -> Fold:
    """How to bring `messages` to about `budget` characters, with one of `summary` characters.

    In this order, until it fits: the turns before the current directive go; old outputs of tools
    are cut; the oldest turns of the current directive go. The directive itself and its latest turns
    stay, and no result is parted from its call. Only when that leaves twice the budget, outputs in
    the latest turns are cut too. With `everything`, all turns go, fit or not.
    """
    start = directive_index(messages)
    stop = _after_turns(messages, start + 1) if everything else start + 1
    if not everything and size(messages) <= budget:
        return Fold([], start, stop, [])
    trims: list[Operation] = []

    def left() -> list[Message]:
        gone = start > 0 or stop > start + 1
        head = [user("x" * summary, "summary")] if gone else []
        return reduce([*head, messages[start], *messages[stop:]], [trims])

    def latest(count: int) -> int:
        """Where the last `count` turns of what is left begin."""
        return _turns(left(), 1)[-count]

    turns = _turns(messages, stop)
    if len(turns) > KEPT_GROUPS and size(left()) > budget:
        trims = [_trim_before(latest(KEPT_GROUPS))]
    while len(turns) > KEPT_GROUPS and size(left()) > budget:
        stop = turns[max(1, (len(turns) - KEPT_GROUPS) // 2)]
        turns = _turns(messages, stop)
        trims = [_trim_before(latest(KEPT_GROUPS))]
    if turns and size(left()) > 2 * budget:
        trims.append(_trim_before(latest(1)))
    if turns and size(left()) > 2 * budget:
        count = len(left())
        limit = max(TRIMMED_CHARACTERS, budget // max(1, count - latest(1) - 1))
        trims.append({"op": "trim", "stop": count, "limit": limit})
    removed = [*messages[:start], *messages[start + 1 : stop]]
    return Fold(removed, start, stop, trims)


def _trim_before(stop: int) -> Operation:
    return {"op": "trim", "stop": stop, "limit": TRIMMED_CHARACTERS}


def _after_turns(messages: Sequence[Message], start: int) -> int:
    """After the last answer and its results; messages to the model that follow are not read yet."""
    stop = len(messages)
    while stop > start and messages[stop - 1]["role"] == "user":
        stop -= 1
    return stop


def directive_index(messages: Sequence[Message]) -> int:
    """Index of the message that opened the current directive; 0 when there is none."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("harness") in ("directive", "research"):
            return index
    return 0


def _turns(messages: Sequence[Message], start: int) -> list[int]:
    """Where turns begin from `start` on: at the answers of the model."""
    return [i for i in range(start, len(messages)) if messages[i]["role"] == "assistant"]
