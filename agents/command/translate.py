"""Messages of the Anthropic API as chat completions and back, for endpoints that speak only these.

Text, images given with the request and tool use are translated; what the other side does not know
(thinking, cache marks, citations) is left out.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any, cast

JsonObject = dict[str, Any]

_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def to_chat(body: JsonObject) -> JsonObject:
    """A request to `/v1/messages` as one to `/v1/chat/completions`, not streamed."""
    chat: JsonObject = {"messages": list(_messages(body))}
    for name in ("max_tokens", "temperature", "top_p"):
        if name in body:
            chat[name] = body[name]
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    tools = [_tool(tool) for tool in _objects(body.get("tools")) if "input_schema" in tool]
    if tools:
        chat["tools"] = tools
        choice = _object(body.get("tool_choice"))
        kind = choice.get("type")
        if kind == "tool":
            chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
        elif kind in ("any", "none"):
            chat["tool_choice"] = "required" if kind == "any" else "none"
    return chat


def _messages(body: JsonObject) -> Iterator[JsonObject]:
    system = _text(body.get("system"))
    if system:
        yield {"role": "system", "content": system}
    for message in _objects(body.get("messages")):
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message.get("role") == "assistant":
            yield _assistant(_objects(blocks))
        else:
            yield from _user(_objects(blocks))


def _assistant(blocks: list[JsonObject]) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": _text(blocks) or None}
    calls = [
        {
            "id": str(block.get("id")),
            "type": "function",
            "function": {
                "name": str(block.get("name")),
                "arguments": json.dumps(block.get("input") or {}),
            },
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    if calls:
        message["tool_calls"] = calls
    elif not message["content"]:
        message["content"] = "(no answer)"  # some servers refuse to read back an empty one
    return message


def _user(blocks: list[JsonObject]) -> Iterator[JsonObject]:
    """Results of tools come first: they must follow their calls at once."""
    for block in blocks:
        if block.get("type") == "tool_result":
            text = _text(block.get("content"))
            text = f"Error: {text}" if block.get("is_error") else text
            yield {"role": "tool", "tool_call_id": str(block.get("tool_use_id")), "content": text}
    parts = [part for block in blocks for part in _part(block)]
    if parts and all(part["type"] == "text" for part in parts):
        yield {"role": "user", "content": "\n\n".join(part["text"] for part in parts)}
    elif parts:
        yield {"role": "user", "content": parts}


def _part(block: JsonObject) -> Iterator[JsonObject]:
    if block.get("type") == "text":
        yield {"type": "text", "text": str(block.get("text") or "")}
    elif block.get("type") == "image":
        source = _object(block.get("source"))
        if source.get("type") == "base64":
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
            yield {"type": "image_url", "image_url": {"url": url}}


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    texts = [str(block.get("text") or "") for block in _objects(content) if "text" in block]
    return "\n\n".join(texts)


def _tool(tool: JsonObject) -> JsonObject:
    return {
        "type": "function",
        "function": {
            "name": str(tool.get("name")),
            "description": str(tool.get("description") or ""),
            "parameters": tool["input_schema"],
        },
    }


def to_message(answer: object, model: str) -> JsonObject:
    """A chat completion as a message.

    Raises:
        ValueError: It holds none.
    """
    choices = _objects(_object(answer).get("choices"))
    if not choices:
        raise ValueError("an answer without a choice")
    message = _object(choices[0].get("message"))
    content: list[JsonObject] = []
    if text := message.get("content"):
        content.append({"type": "text", "text": str(text)})
    for call in _objects(message.get("tool_calls")):
        function = _object(call.get("function"))
        content.append(
            {
                "type": "tool_use",
                "id": str(call.get("id") or f"toolu_{secrets.token_hex(12)}"),
                "name": str(function.get("name")),
                "input": _arguments(function.get("arguments")),
            }
        )
    reason = _REASONS.get(str(choices[0].get("finish_reason")), "end_turn")
    if any(block["type"] == "tool_use" for block in content) and reason == "end_turn":
        reason = "tool_use"
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": _usage(_object(_object(answer).get("usage"))),
    }


def _arguments(given: object) -> JsonObject:
    if isinstance(given, dict):
        return cast(JsonObject, given)
    try:
        decoded: object = json.loads(str(given or "{}"))
    except (ValueError, RecursionError):
        decoded = None
    if isinstance(decoded, dict):
        return cast(JsonObject, decoded)
    # A tool that gets what it does not know says so to the model.
    return {"not_json": str(given)}


def _usage(used: JsonObject) -> JsonObject:
    cached = _object(used.get("prompt_tokens_details")).get("cached_tokens") or 0
    return {
        "input_tokens": max(0, int(used.get("prompt_tokens") or 0) - int(cached)),
        "output_tokens": int(used.get("completion_tokens") or 0),
        "cache_read_input_tokens": int(cached),
        "cache_creation_input_tokens": 0,
    }


def as_events(message: JsonObject) -> Iterator[bytes]:
    """A message as the events that a streaming client waits for."""
    start: JsonObject = {**message, "content": [], "stop_reason": None}
    start["usage"] = {**message["usage"], "output_tokens": 0}
    yield _event("message_start", message=start)
    empty: JsonObject
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=ending, usage=message["usage"])
    yield _event("message_stop")


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _object(value: object) -> JsonObject:
    return cast(JsonObject, value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[JsonObject]:
    return (
        [_object(each) for each in cast("list[object]", value)] if isinstance(value, list) else []
    )
