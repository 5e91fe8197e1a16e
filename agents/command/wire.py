"""The wire formats of the gateway: what is bounded in requests, and usage and text in answers."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from starlette.responses import JSONResponse, Response

from harness.agents.base import Usage

JsonObject = dict[str, Any]
Format = Literal["chat", "responses", "messages"]

_KEPT_CHARACTERS = 8000
_MAX_EVENT_BYTES = 16 * 1024 * 1024

LIMITS: Mapping[Format, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}
_DROPPED = ("n", "background", "service_tier", "web_search_options", "mcp_servers", "container")
"""What multiplies the cost of a call, or has the provider do things on the network."""
_PROVIDERS_TOOLS = (
    "web_", "file_search", "code_", "mcp", "image_generation", "computer_use", "tool_search",
)  # fmt: skip
"""Beginnings of the types of tools that the provider runs itself, with a network of its own."""
_ATTACHMENTS = frozenset({"image", "document", "image_url", "input_image", "input_file", "file"})


def format_of(path: str) -> Format:
    """The wire format that a path belongs to."""
    if "/messages" in path:
        return "messages"
    return "responses" if "/responses" in path else "chat"


def refusal(path: str, status: int, message: str) -> Response:
    """An error in the format that belongs to the path."""
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "api_error")
    error: JsonObject = {"type": kind, "message": message}
    if format_of(path) == "messages":
        return JSONResponse({"type": "error", "error": error}, status)
    return JSONResponse({"error": {**error, "code": kind, "param": None}}, status)


def bounded(body: JsonObject, form: Format, most: int) -> tuple[JsonObject, int]:
    """The request with at most `most` tokens to answer in, and how many these are now.

    Without what would make it cost more than its tokens, or reach the network through the provider.
    """
    kept = {name: value for name, value in body.items() if name not in _DROPPED}
    if isinstance(tools := kept.get("tools"), list):
        kept["tools"] = [tool for tool in cast("list[object]", tools) if not _providers(tool)]
        if not kept["tools"]:
            del kept["tools"]
            kept.pop("tool_choice", None)
    names = LIMITS[form]
    given = [kept[name] for name in names if isinstance(kept.get(name), int)]
    limit = max(1, min([most, *given]))
    used = [name for name in names if name in kept] or [names[-1]]
    for name in used:
        kept[name] = limit
    thinking = _object(kept.get("thinking"))
    if isinstance(budget := thinking.get("budget_tokens"), int):
        # It has to be smaller than the limit.
        smaller = min(budget, limit - 1)
        kept["thinking"] = {**thinking, "budget_tokens": smaller}
        if smaller < 1024:
            del kept["thinking"]
    return kept, limit


def _providers(tool: object) -> bool:
    kind = cast(JsonObject, tool).get("type") if isinstance(tool, dict) else None
    return isinstance(kind, str) and kind.startswith(_PROVIDERS_TOOLS)


def remote_attachment(value: object) -> bool:
    """Whether the provider is asked to fetch something from an address."""
    if isinstance(value, list):
        return any(map(remote_attachment, cast("list[object]", value)))
    if not isinstance(value, dict):
        return False
    block = cast(JsonObject, value)
    if block.get("type") in _ATTACHMENTS and '"http' in json.dumps(block):
        return True
    return any(map(remote_attachment, block.values()))


@dataclass(slots=True)
class Meter:
    """Reads usage and text from an answer, whole or event by event."""

    form: Format
    used: dict[str, int] = field(default_factory=dict[str, int])
    text: str = ""
    calls: list[JsonObject] = field(default_factory=list[JsonObject])
    characters: int = 0

    def usage(self) -> Usage | None:
        """What the endpoint said it used; None when it said nothing."""
        used = self.used
        if not used:
            return None
        if self.form == "messages":
            cached = used.get("cache_read_input_tokens", 0)
            prompt = used.get("input_tokens", 0) + cached
            prompt += used.get("cache_creation_input_tokens", 0)
            return Usage(prompt, used.get("output_tokens", 0), cached)
        names = ("input", "output") if self.form == "responses" else ("prompt", "completion")
        return Usage(
            prompt_tokens=used.get(f"{names[0]}_tokens", 0),
            completion_tokens=used.get(f"{names[1]}_tokens", 0),
            cached_tokens=used.get("cached_tokens", 0),
            reasoning_tokens=used.get("reasoning_tokens", 0),
        )

    def whole(self, body: object) -> None:
        """An answer that came at once."""
        answer = _object(body)
        self._count(answer.get("usage"))
        if self.form == "chat":
            for choice in _objects(answer.get("choices")):
                self._message(_object(choice.get("message")))
        elif self.form == "messages":
            for block in _objects(answer.get("content")):
                self._block(block)
        else:
            for item in _objects(answer.get("output")):
                self._item(item)

    def event(self, data: object) -> None:
        """An event of a stream."""
        event = _object(data)
        kind = event.get("type")
        if self.form == "chat":
            self._count(event.get("usage"))
            for choice in _objects(event.get("choices")):
                self._message(_object(choice.get("delta")))
        elif self.form == "responses":
            if isinstance(kind, str) and kind.endswith(".delta"):
                self.characters += len(str(event.get("delta", "")))
            elif "response" in event:
                response = _object(event["response"])
                if response.get("usage"):
                    self.whole(response)
        elif kind == "message_start":
            self._count(_object(event.get("message")).get("usage"))
        elif kind == "content_block_start":
            self._block(_object(event.get("content_block")))
        elif kind == "content_block_delta":
            delta = _object(event.get("delta"))
            self._say(delta.get("text"))
            self._argue(len(self.calls) - 1, delta.get("partial_json"))
            self.characters += len(str(delta.get("thinking") or ""))
        elif kind == "message_delta":
            self._count(event.get("usage"))

    def _count(self, usage: object) -> None:
        for name, value in _object(usage).items():
            if isinstance(value, dict) and name.endswith("_details"):
                self._count(cast(JsonObject, value))
            elif isinstance(value, int) and value >= 0:
                self.used[name] = value

    def _say(self, text: object) -> None:
        if isinstance(text, str):
            self.characters += len(text)
            self.text += text[: _KEPT_CHARACTERS - len(self.text)]

    def _message(self, message: JsonObject) -> None:
        self._say(message.get("content"))
        self._say(message.get("reasoning_content"))
        for number, call in enumerate(_objects(message.get("tool_calls"))):
            function = _object(call.get("function"))
            at = call.get("index", number)
            while isinstance(at, int) and at < 64 and len(self.calls) <= at:
                self.calls.append({"name": "", "arguments": ""})
            if isinstance(at, int) and at < len(self.calls):
                self.calls[at]["name"] += str(function.get("name") or "")
                self._argue(at, function.get("arguments"))

    def _argue(self, at: int, text: object) -> None:
        if isinstance(text, str) and 0 <= at < len(self.calls):
            self.characters += len(text)
            room = _KEPT_CHARACTERS - len(self.calls[at]["arguments"])
            self.calls[at]["arguments"] += text[:room]

    def _block(self, block: JsonObject) -> None:
        self._say(block.get("text"))
        if block.get("type") == "tool_use" and len(self.calls) < 64:
            given = json.dumps(block["input"]) if block.get("input") else ""
            self.calls.append({"name": str(block.get("name")), "arguments": ""})
            self._argue(len(self.calls) - 1, given)

    def _item(self, item: JsonObject) -> None:
        for part in _objects(item.get("content")):
            self._say(part.get("text"))
        if "name" in item and len(self.calls) < 64:
            self.calls.append({"name": str(item["name"]), "arguments": ""})
            self._argue(len(self.calls) - 1, item.get("arguments") or item.get("input"))


def _object(value: object) -> JsonObject:
    return cast(JsonObject, value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[JsonObject]:
    return (
        [_object(each) for each in cast("list[object]", value)] if isinstance(value, list) else []
    )


class Events:
    """Splits a stream of server-sent events, wherever it is cut.

    `passes` says of each event's data whether it is for the client.
    """

    def __init__(self, passes: Callable[[object], bool]) -> None:
        self._passes = passes
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The events that are complete now, as they came.

        Raises:
            OverflowError: One is too long.
        """
        self._buffer += data.replace(b"\r\n", b"\n")
        *events, self._buffer = self._buffer.split(b"\n\n")
        if len(self._buffer) > _MAX_EVENT_BYTES:
            raise OverflowError("an event that does not end")
        for event in events:
            if self._passes(_data(event)):
                yield event + b"\n\n"

    def rest(self) -> bytes:
        """What came after the last complete event."""
        rest, self._buffer = self._buffer, b""
        return rest if rest.strip() and self._passes(_data(rest)) else b""


def _data(event: bytes) -> object:
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    try:
        return json.loads(b"\n".join(lines))
    except (ValueError, RecursionError):
        return None
