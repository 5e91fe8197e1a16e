"""What comes back from an endpoint, made into what the harness keeps. Pure functions."""

import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from harness.agents.base import Usage
from harness.agents.conversation import INVALID_ARGUMENTS

JsonObject = dict[str, Any]

NO_ANSWER = "(no answer)"
CHARACTERS_PER_TOKEN = 3
_OVERHEAD_TOKENS = 64
_THINK = re.compile(r"\s*<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"\A(.*?)</think>", re.DOTALL)
"""Some templates write the opening tag into the prompt, so that only the closing one comes back."""
_TOOL_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*(?:</tool_call>|\Z)", re.DOTALL)


class NotAnAnswerError(Exception):
    """A billed answer without a message in it."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A usable answer: the message to keep, why it ended, and what the model thought before it."""

    message: JsonObject
    finish_reason: str
    reasoning: str


def estimate_tokens(value: object) -> int:
    """An upper guess of the tokens of a JSON value: 3 characters each and a little more."""
    return tokens_of(len(json.dumps(value, ensure_ascii=False, default=str)))


def tokens_of(characters: int) -> int:
    """An upper guess of the tokens of so many characters of JSON."""
    return characters // CHARACTERS_PER_TOKEN + _OVERHEAD_TOKENS


def encode(body: JsonObject) -> bytes:
    """A request as it is sent; half a surrogate pair, which models do write, stays an escape."""
    try:
        return orjson.dumps(body)
    except TypeError:  # that half, or a number beyond 64 bits
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")


def decode(body: bytes) -> object:
    """The JSON of an answer; None when it is none."""
    try:
        return cast(object, json.loads(body))
    except (ValueError, RecursionError):
        return None


def error_of(data: object) -> tuple[int, object] | None:
    """The status and the error of an answer that was sent with 200 but is none.

    llama.cpp and some gateways do that: only the body says that it failed.
    """
    if not isinstance(data, dict):
        return None
    given = cast(JsonObject, data)
    error: object = given.get("error")
    if not error or given.get("choices"):
        return None
    code: object = cast(JsonObject, error).get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int | str) and str(code).isdigit() else 0
    return (status, given) if 400 <= status < 600 else None


def parse(data: object, tools: Iterable[str] = ()) -> Parsed:
    """The message of an answer, as it is kept and sent back.

    What a reasoning model thought is taken out: it is long, and endpoints do not want it back. A
    tool call that the server left in the text (`<tool_call>{…}`) is taken for what it is when it
    names one of `tools`.

    Raises:
        NotAnAnswerError: There is no message in it.
    """
    try:
        choice = cast(Any, data)["choices"][0]
        given: Mapping[str, Any] = choice["message"]
        content = _text(given.get("content"))
        reasoning = _text(given.get("reasoning_content")) or _text(given.get("reasoning")) or ""
        calls = [_tool_call(call) for call in given.get("tool_calls") or ()]
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        shown = json.dumps(data, default=str)[:200]
        raise NotAnAnswerError(f"an answer without a message: {shown}") from error
    content, thought = without_thoughts(content)
    if not calls and content:
        content, calls = _calls_in_text(content, frozenset(tools))
    message: JsonObject = {"role": "assistant", "content": content or None}
    if calls:
        message["tool_calls"] = calls
    elif not content:
        message["content"] = NO_ANSWER  # some servers refuse to read back an empty one
    reason = str(choice.get("finish_reason") or "stop")
    return Parsed(message, reason, "\n\n".join(filter(None, (reasoning, thought))))


def _text(value: object) -> str | None:
    """Content as text; of a list of parts, their texts."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = cast("Sequence[Any]", value)
        texts: list[Any] = [part.get("text") for part in parts if isinstance(part, dict)]
        if texts and all(isinstance(text, str) for text in texts):
            return "".join(texts)
    return json.dumps(value)


def without_thoughts(content: str | None) -> tuple[str | None, str]:
    """`content` without what a model thought aloud at its start, and the thoughts."""
    if not content:
        return content, ""
    found = _THINK.match(content)
    if found is None and "<think>" not in content:
        found = _THOUGHT.match(content)
    if found is None:
        return content, ""
    return content[found.end() :].lstrip(), found[1].strip()


def _tool_call(call: Mapping[str, Any]) -> JsonObject:
    """A tool call, made well-formed: some servers refuse to read back what they sent."""
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        arguments = json.dumps({INVALID_ARGUMENTS: arguments})
    return {
        **{key: value for key, value in call.items() if key != "index"},
        "id": str(call.get("id") or new_call_id()),
        "type": "function",
        "function": {"name": str(function["name"]), "arguments": arguments},
    }


def new_call_id() -> str:
    """An identifier for a tool call that came without one."""
    return f"call_{uuid.uuid4().hex}"


def _calls_in_text(content: str, tools: frozenset[str]) -> tuple[str, list[JsonObject]]:
    calls: list[JsonObject] = []
    for found in _TOOL_CALL.finditer(content):
        given = decode(found[1].encode())
        if not isinstance(given, dict):
            continue
        name = cast(JsonObject, given).get("name")
        arguments = cast(JsonObject, given).get("arguments", {})
        if isinstance(name, str) and name in tools:
            calls.append(_tool_call({"function": {"name": name, "arguments": arguments}}))
    return (_TOOL_CALL.sub("", content).strip(), calls) if calls else (content, [])


def usage_of(data: object, messages: object, received: int) -> Usage:
    """What the endpoint says it used; an estimate, marked as such, where it says nothing.

    `received` is the length of the answer in characters.
    """
    said: object = cast(JsonObject, data).get("usage") if isinstance(data, dict) else None
    if not isinstance(said, dict):
        completion = received // CHARACTERS_PER_TOKEN
        return Usage(estimate_tokens(messages), completion, estimated=True)
    return Usage(
        prompt_tokens=_count(said, "prompt_tokens"),
        completion_tokens=_count(said, "completion_tokens"),
        cached_tokens=_count(said, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=_count(said, "completion_tokens_details", "reasoning_tokens"),
    )


def _count(data: Any, *path: str) -> int:
    for key in path:
        data = cast(Any, data.get(key)) if isinstance(data, dict) else None
    return max(0, int(data)) if isinstance(data, int) else 0


class Assembly:
    """Puts the chunks of a streamed answer together into the answer that was not streamed."""

    def __init__(self) -> None:
        self.received = 0
        """Characters of the answer so far."""
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, JsonObject] = {}
        self._finish_reason: str | None = None
        self._usage: object = None
        self._error: object = None
        self._done = False

    def line(self, line: str) -> None:
        """One line of the event stream."""
        field, _, value = line.partition(":")
        if field != "data":
            return
        value = value.strip()
        self.received += len(value)
        if value == "[DONE]":
            self._done = True
            return
        chunk = decode(value.encode())
        if isinstance(chunk, dict):
            self._chunk(cast(JsonObject, chunk))

    def _chunk(self, chunk: JsonObject) -> None:
        self._error = chunk.get("error") or self._error
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            delta: JsonObject = choice.get("delta") or {}
            self._content.append(str(delta.get("content") or ""))
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            self._reasoning.append(str(thought or ""))
            for call in delta.get("tool_calls") or ():
                self._call(call)

    def _call(self, part: JsonObject) -> None:
        index = part.get("index")
        number = index if isinstance(index, int) else len(self._calls)
        call = self._calls.setdefault(number, {"function": {"name": "", "arguments": ""}})
        call["id"] = part.get("id") or call.get("id")
        function: JsonObject = part.get("function") or {}
        call["function"]["name"] = call["function"]["name"] or str(function.get("name") or "")
        call["function"]["arguments"] += str(function.get("arguments") or "")

    def data(self) -> object:
        """The answer as it would have come in one piece; without choices when it was cut off."""
        whole: JsonObject = {} if self._usage is None else {"usage": self._usage}
        if self._error is not None:
            return {**whole, "error": self._error}
        if self._finish_reason is None and not self._done:
            return whole
        message: JsonObject = {
            "content": "".join(self._content) or None,
            "reasoning_content": "".join(self._reasoning),
            "tool_calls": [self._calls[number] for number in sorted(self._calls)],
        }
        return {**whole, "choices": [{"message": message, "finish_reason": self._finish_reason}]}
