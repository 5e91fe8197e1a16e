"""Requests to the scripted endpoint as its behaviours see them, and the replies they make."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in. `number` counts those to the same path from 1."""

    path: str
    headers: Mapping[str, str]
    body: JsonObject
    number: int

    @property
    def messages(self) -> list[JsonObject]:
        """The chat messages; empty when the body has none."""
        return cast(list[JsonObject], self.body.get("messages", []))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `body` is sent as JSON, `raw` instead of it as it is.

    `prompt_tokens` and `completion_tokens` are estimated (4 characters each) when None.
    `delay_s` is waited first; `drop` closes the connection without an answer, `cut_after` in the
    middle of a streamed one, after so many events.
    """

    status: int = 200
    body: JsonObject = field(default_factory=dict[str, Any])
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay_s: float = 0.0
    drop: bool = False
    cut_after: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0


Behaviour = Callable[[Request], Reply]
Call = tuple[str, Mapping[str, Any] | str]
"""Tool name and arguments; a string is sent as it is, so that it may be no JSON."""


def _completion(message: JsonObject, finish_reason: str) -> Reply:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return Reply(body={"object": "chat.completion", "choices": [choice]})


def text(content: str) -> Reply:
    """An answer in words, without a tool call."""
    return _completion({"role": "assistant", "content": content}, "stop")


def tool_calls(*calls: Call, content: str | None = None, ids: Sequence[str] = ()) -> Reply:
    """An answer with several tool calls; `ids` overrides the unique ones the server makes."""
    made: list[JsonObject] = []
    for index, (name, arguments) in enumerate(calls):
        encoded = arguments if isinstance(arguments, str) else json.dumps(dict(arguments))
        made.append(
            {
                "id": ids[index] if index < len(ids) else None,
                "type": "function",
                "function": {"name": name, "arguments": encoded},
            }
        )
    message: JsonObject = {"role": "assistant", "content": content, "tool_calls": made}
    return _completion(message, "tool_calls")


def tool_call(tool: str, /, **arguments: Any) -> Reply:
    """An answer that calls one tool."""
    return tool_calls((tool, arguments))


def refusal(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Reply:
    """An error in the format of the OpenAI API."""
    body: JsonObject = {"error": {"message": message, "type": "error", "code": status}}
    return Reply(status=status, body=body, headers=headers or {})


def rate_limited(retry_after: float | str | None = None) -> Reply:
    """429; `retry_after` in seconds, or an HTTP date."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return refusal(429, "rate limit reached", headers=headers)


def server_error(status: int = 500) -> Reply:
    """A failure of the server, 500 by default."""
    return refusal(status, "the server had an error")


def malformed_json() -> Reply:
    """200 with a body that is cut off."""
    return Reply(raw=b'{"object": "chat.completion", "choices": [{"index": 0, "mess')


def empty_choices() -> Reply:
    """200 with no choice in it (billed all the same)."""
    return Reply(body={"object": "chat.completion", "choices": []})


def slow(seconds: float, then: Reply) -> Reply:
    """`then`, after a wait."""
    return replace(then, delay_s=seconds)


def dropped() -> Reply:
    """The connection is closed without an answer."""
    return Reply(drop=True)
