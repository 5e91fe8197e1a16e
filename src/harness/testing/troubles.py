"""What goes wrong at real endpoints, as replies of the scripted one, and wrappers of behaviours.

The wordings are those of the servers they are named after, so that tests tell whether the harness
understands them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.agents.text_protocol import action
from harness.testing.endpoint import (
    Behaviour,
    JsonObject,
    Reply,
    Request,
    refusal,
    text,
    tool_calls,
)

TOOLS_UNSUPPORTED: Mapping[str, tuple[int, str]] = {
    "vllm": (
        400,
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    ),
    "ollama": (400, "registry.ollama.ai/library/gemma3:4b does not support tools"),
    "llama.cpp": (500, "tools param requires --jinja flag"),
    "llama.cpp-old": (500, "Unsupported param: tools"),
    "openrouter": (404, "No endpoints found that support tool use."),
    "strict": (422, "Extra inputs are not permitted: 'tools'"),
    "unwritten": (501, "tool calling is not implemented"),
}
"""Status and message of servers that cannot call tools."""


def tools_unsupported(server: str = "vllm") -> Reply:
    """The model cannot call tools, in the words of a server of `TOOLS_UNSUPPORTED`."""
    return refusal(*TOOLS_UNSUPPORTED[server])


def context_too_long(limit: int = 4096, requested: int = 5000, *, server: str = "vllm") -> Reply:
    """The request does not fit: `openai`, `vllm`, `llama.cpp`, `anthropic`, or `page` (a proxy)."""
    if server == "page":
        return Reply(status=413, raw=b"<html>413 Request Entity Too Large</html>")
    wordings: dict[str, tuple[str, JsonObject]] = {
        "openai": (
            (
                f"This model's maximum context length is {limit} tokens. However, your messages "
                f"resulted in {requested} tokens. Please reduce the length of the messages."
            ),
            {"code": "context_length_exceeded", "type": "invalid_request_error"},
        ),
        "vllm": (
            (
                f"'max_tokens' or 'max_completion_tokens' is too large: 1000. This model's "
                f"maximum context length is {limit} tokens and your request has {requested} "
                f"input tokens (1000 > {limit} - {requested})."
            ),
            {"type": "BadRequestError"},
        ),
        "llama.cpp": (
            "the request exceeds the available context size. try increasing the context size",
            {
                "type": "exceed_context_size_error",
                "n_prompt_tokens": requested,
                "n_ctx": limit,
            },
        ),
        "anthropic": (f"prompt is too long: {requested} tokens > {limit} maximum", {}),
    }
    message, more = wordings[server]
    return Reply(status=400, body={"error": {"message": message, "code": 400, **more}})


def parameter_refused(name: str, instead: str = "") -> Reply:
    """A parameter the model does not take, as OpenAI says it."""
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    if instead:
        message += f" Use '{instead}' instead."
    error = {"message": message, "param": name, "code": "unsupported_parameter"}
    return Reply(status=400, body={"error": error})


def error_with_200(status: int, message: str) -> Reply:
    """A failure that only the body tells of."""
    return Reply(body={"error": {"code": status, "message": message}})


def no_message() -> Reply:
    """200 with a choice without a message (billed all the same)."""
    return Reply(body={"choices": [{"index": 0, "message": None, "finish_reason": "stop"}]})


def malformed_tool_call(tool: str = "bash") -> Reply:
    """A tool call whose arguments are cut off."""
    return tool_calls((tool, '{"command": "ls'))


def thinking(thoughts: str, then: Reply) -> Reply:
    """`then`, from a model that shows what it thought before."""
    body: JsonObject = json.loads(json.dumps(then.body))
    body["choices"][0]["message"]["reasoning_content"] = thoughts
    return replace(then, body=body)


def with_troubles(behaviour: Behaviour, troubles: Mapping[int, Reply]) -> Behaviour:
    """`behaviour`, but the requests of these numbers get these replies."""

    def troubled(request: Request) -> Reply:
        return troubles.get(request.number) or behaviour(request)

    return troubled


def storm(first: int, length: int, reply: Reply) -> dict[int, Reply]:
    """`reply` to `length` requests in a row, from number `first` on: for `with_troubles`."""
    return dict.fromkeys(range(first, first + length), reply)


def refusing(behaviour: Behaviour, *parameters: str) -> Behaviour:
    """`behaviour` of a model that does not take these parameters."""

    def picky(request: Request) -> Reply:
        for name in parameters:
            if name in request.body:
                return parameter_refused(name)
        return behaviour(request)

    return picky


def without_tools(behaviour: Behaviour, server: str = "vllm") -> Behaviour:
    """`behaviour` of a model that cannot call tools: it answers in the text protocol.

    The behaviour itself sees and makes tool calls. A `text_protocol` request is turned back into
    roughly what it was: one message each for the results and for what else the user says.
    """

    def plain(request: Request) -> Reply:
        if "tools" in request.body:
            return tools_unsupported(server)
        messages = [part for message in request.messages for part in _parts(message)]
        reply = behaviour(replace(request, body={**request.body, "messages": messages}))
        if reply.status != 200 or reply.raw is not None or not reply.body.get("choices"):
            return reply
        message: JsonObject = reply.body["choices"][0]["message"]
        calls: Sequence[JsonObject] = message.get("tool_calls", ())
        if not calls:
            return reply
        function: Mapping[str, Any] = calls[0]["function"]
        said = str(message.get("content") or "I go on.")
        answer = text(f"{said}\n\n{action(function['name'], function['arguments'])}")
        return replace(reply, body=answer.body)

    return plain


def _parts(message: JsonObject) -> list[JsonObject]:
    content = str(message["content"])
    if message["role"] != "user":
        return [message]
    before, heading, directive = content.partition("# Directive")
    if not heading:
        role = "tool" if content.startswith("Result of ") else "user"
        return [{"role": role, "content": content}]
    parts = [{"role": "tool", "content": before}] if before.strip() else []
    return [*parts, {"role": "user", "content": heading + directive}]
