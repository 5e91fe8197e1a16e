"""An agent's conversation: chat messages changed by operations that are replayed from a log.

The checkpoint stores the operations, not the list (LangGraph's DeltaChannel), so `reduce` must give
the same list however the operations are batched: it is a left fold, and no operation fails or
depends on anything but the list it is applied to.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal, TypedDict, cast

Message = dict[str, Any]
"""A chat message of the OpenAI API. `harness` (what kind it is) and `notes` are never sent."""

_MARKS = frozenset({"harness", "notes"})

INVALID_ARGUMENTS = "arguments_that_are_not_json"
"""Key under which tool arguments that were not JSON are kept: some servers refuse to read them back
as they were."""

TRIMMED_CHARACTERS = 200
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
    """Titles of the notes that the agent wrote, those of removed turns included."""
    titles: list[str] = []
    for message in messages:
        titles += message.get("notes", ())
        for call in message.get("tool_calls", ()):
            if call["function"]["name"] == "memory_note":
                arguments = json.loads(call["function"]["arguments"])
                if isinstance(arguments, dict):
                    titles.append(str(cast(Message, arguments).get("title", "untitled")))
    return titles


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


def compact(messages: Sequence[Message], budget: int, summary: Message) -> list[Operation]:
    """Operations that bring `messages` to about `budget` characters; none when they fit.

    In this order, until it fits: the turns before the current directive give way to `summary`; old
    outputs of tools are cut; the oldest turns of the current directive are removed. The directive
    itself and its latest turns stay, and no result is parted from its call. Only when that leaves
    twice the budget, outputs in the latest turns are cut too.
    """
    current = list(messages)
    operations: list[Operation] = []

    def do(operation: Operation) -> None:
        nonlocal current
        operations.append(operation)
        current = _apply(current, operation)

    if size(current) <= budget:
        return []
    start = _directive(current)
    if start > 0:
        do({"op": "splice", "start": 0, "stop": start, "messages": [summary]})
    start = _directive(current)
    turns = _turns(current, start + 1)
    if len(turns) > KEPT_GROUPS and size(current) > budget:
        do({"op": "trim", "stop": turns[-KEPT_GROUPS], "limit": TRIMMED_CHARACTERS})
    while len(turns) > KEPT_GROUPS and size(current) > budget:
        drop = max(1, (len(turns) - KEPT_GROUPS) // 2)
        do({"op": "splice", "start": turns[0], "stop": turns[drop], "messages": []})
        turns = _turns(current, start + 1)
    if turns and size(current) > 2 * budget:
        do({"op": "trim", "stop": turns[-1], "limit": TRIMMED_CHARACTERS})
    if turns and size(current) > 2 * budget:
        outputs = max(1, len(current) - turns[-1] - 1)
        limit = max(TRIMMED_CHARACTERS, budget // outputs)
        do({"op": "trim", "stop": len(current), "limit": limit})
    return operations


def _directive(messages: Sequence[Message]) -> int:
    """Index of the current directive's message; 0 when there is none."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("harness") == "directive":
            return index
    return 0


def _turns(messages: Sequence[Message], start: int) -> list[int]:
    """Where turns begin from `start` on: at the answers of the model."""
    return [i for i in range(start, len(messages)) if messages[i]["role"] == "assistant"]
