"""A whole chat completion cut into the server-sent events of a streamed one."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

PIECE_CHARACTERS = 12


def events(body: Mapping[str, Any], *, include_usage: bool) -> Iterator[bytes]:
    """The events of a completion, the last one `[DONE]`."""
    head = {key: body[key] for key in ("id", "created", "model") if key in body}
    head["object"] = "chat.completion.chunk"
    for choice in cast("list[dict[str, Any]]", body.get("choices", [])):
        for delta in _deltas(choice["message"] or {}):
            yield _event({**head, "choices": [{"index": choice["index"], "delta": delta}]})
        end: dict[str, Any] = {
            "index": choice["index"],
            "delta": {},
            "finish_reason": choice["finish_reason"],
        }
        yield _event({**head, "choices": [end]})
    if include_usage:
        yield _event({**head, "choices": [], "usage": body.get("usage")})
    yield b"data: [DONE]\n\n"


def _deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant"}
    for key in ("reasoning_content", "content"):
        for piece in _pieces(str(message.get(key) or "")):
            yield {key: piece}
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        start = {"name": function["name"], "arguments": ""}
        yield {"tool_calls": [{"index": index, **call, "function": start}]}
        for piece in _pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE_CHARACTERS):
        yield text[start : start + PIECE_CHARACTERS]


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"
