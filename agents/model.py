"""An OpenAI-compatible chat client: retries, usage, and errors that say what to check."""

import asyncio
import email.utils
import json
import os
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import openai

from harness.agents.base import ModelCall, ModelConfig, Usage
from harness.agents.conversation import INVALID_ARGUMENTS
from harness.agents.pricing import price_of, with_cost
from harness.clock import Clock, SystemClock
from harness.errors import ConfigurationError, ModelRefusedError, ModelUnavailableError

JsonObject = dict[str, Any]
Reserve = Callable[[Usage], AbstractAsyncContextManager[ModelCall]]
"""Reserves the worst case of a call: `AgentContext.model_call`."""

KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
OPENAI_URL = "https://api.openai.com/v1"

_CHARACTERS_PER_TOKEN = 3
_OVERHEAD_TOKENS = 64
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_LONGEST_RETRY_AFTER_S = 3600.0
_RETRIED_STATUSES = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer: the assistant message as it is sent back next time, and what it used."""

    message: JsonObject
    finish_reason: str
    usage: Usage


class _TryAgainError(Exception):
    """This try failed; another may do better. `wait_s`: what the server asked for."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def estimate_tokens(value: object) -> int:
    """An upper guess of the tokens of a JSON value: 3 characters each and a little more."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return len(text) // _CHARACTERS_PER_TOKEN + _OVERHEAD_TOKENS


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is and how to get in. The key is not part of its text."""

    url: str
    key: str = field(repr=False)


def resolve_endpoint(config: ModelConfig, environ: Mapping[str, str] | None = None) -> Endpoint:
    """The configured endpoint; address and key from the environment (by default the process's).

    Raises:
        ConfigurationError: No model name, an address that is none, or no key for OpenAI's own.
    """
    environ = os.environ if environ is None else environ
    if not config.name:
        raise ConfigurationError(
            "no model is named",
            expected="the name of a model that the endpoint knows",
            action="pass --model NAME, or set agent.model.name in harness.yaml",
        )
    url = (config.base_url or environ.get(URL_VARIABLE) or OPENAI_URL).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"the model endpoint {url!r} is not an address",
            expected="something like http://localhost:8000/v1",
            action=f"set {URL_VARIABLE}, or agent.model.base_url in harness.yaml",
        )
    key = environ.get(KEY_VARIABLE, "").strip()
    if not key and url == OPENAI_URL:
        raise ConfigurationError(
            f"no API key for {OPENAI_URL}",
            expected=f"a key in {KEY_VARIABLE}",
            action=f"export {KEY_VARIABLE}=…, or set {URL_VARIABLE} to an endpoint of your own",
        )
    return Endpoint(url, key)


class ModelClient:
    """Talks to one endpoint.

    Args:
        config: Model and limits.
        endpoint: Where it is: `resolve_endpoint(config)`.
        first_wait_s: Seconds before the first retry; doubles with each further one.
    """

    def __init__(
        self,
        config: ModelConfig,
        endpoint: Endpoint,
        *,
        clock: Clock | None = None,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self.url = endpoint.url
        self._config = config
        self._key = endpoint.key
        self._price = price_of(config)
        self._clock = clock or SystemClock()
        self._first_wait_s = first_wait_s
        # OpenAI's newer models refuse the old name, many other servers know no other.
        self._limit_field = "max_completion_tokens" if self.url == OPENAI_URL else "max_tokens"
        # A local endpoint needs no key, but the client insists on one.
        self._client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=endpoint.key or "none",
            max_retries=0,
            timeout=config.timeout_s,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def check(self) -> list[str]:
        """Ask the endpoint for its models, once; their names, empty when it does not list them.

        Raises:
            ModelUnavailableError: Nothing answers there.
            ModelRefusedError: The key is refused.
        """
        try:
            page = await self._client.with_options(timeout=10).models.list()
        except openai.APIStatusError as error:
            if error.status_code in (401, 403):
                self._refuse(error)
            return []
        except openai.APIConnectionError as error:
            raise ModelUnavailableError(
                f"no model endpoint answers at {self.url}; check {URL_VARIABLE}"
            ) from error
        except (ValueError, AttributeError, TypeError):
            return []  # something answers, but not with a list of models
        return [model.id for model in page.data or ()]

    def worst_case(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject]) -> Usage:
        """The most that a call can use."""
        prompt = estimate_tokens(messages) + (estimate_tokens(tools) if tools else 0)
        worst = Usage(prompt_tokens=prompt, completion_tokens=self._config.max_output_tokens)
        return with_cost(worst, self._price)

    async def complete(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject], reserve: Reserve
    ) -> Answer:
        """One answer. Each try has its own reservation; a billed one that does not parse counts.

        Raises:
            BudgetExhaustedError: From `reserve`.
            ModelUnavailableError: No usable answer after the configured retries.
            ModelRefusedError: The endpoint refuses for good; says what to check.
        """
        worst = self.worst_case(messages, tools)
        tries = self._config.retries + 1
        for number in range(tries):
            try:
                async with reserve(worst) as call:
                    return await self._once(messages, tools, call)
            except _TryAgainError as failure:
                if number + 1 == tries:
                    raise ModelUnavailableError(
                        f"the model endpoint {self.url} gave no usable answer in {tries} tries; "
                        f"the last one: {failure}"
                    ) from failure
                await asyncio.sleep(self._wait(number, failure.wait_s))
        raise AssertionError("unreachable: the last try returns or raises")

    def _wait(self, number: int, asked_s: float | None) -> float:
        if asked_s is not None:
            return min(asked_s, _LONGEST_RETRY_AFTER_S)
        # Jitter keeps a team of agents from coming back all at once; it decides nothing else.
        return min(self._first_wait_s * 2.0**number, _LONGEST_WAIT_S) * random.uniform(0.5, 1.5)

    async def _once(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject], call: ModelCall
    ) -> Answer:
        body = await self._send(messages, tools)
        try:
            data: Any = json.loads(body)
        except ValueError:
            data = None
        usage = with_cost(self._usage(data, messages, body), self._price)
        call.settle(usage)
        try:
            choice = data["choices"][0]
            message = _assistant(choice["message"])
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            shown = body[:200].decode("utf-8", "replace")
            raise _TryAgainError(f"an answer without a message: {shown!r}") from error
        return Answer(message, str(choice.get("finish_reason") or "stop"), usage)

    async def _send(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject]) -> bytes:
        body: JsonObject = {"messages": list(messages)}
        body[self._limit_field] = self._config.max_output_tokens
        if tools:
            body["tools"] = list(tools)
        if self._config.temperature is not None:
            body["temperature"] = self._config.temperature
        # Raw: what comes back is checked here, not by the client's forgiving models. And the whole
        # body goes as `extra_body`, which is sent as it is: the client walks through everything
        # else by its type hints, 0.3 s of CPU for a conversation of 100 messages.
        create: Any = self._client.chat.completions.with_raw_response.create
        try:
            # The client's time-out starts anew with every byte; this one is for the whole answer.
            async with asyncio.timeout(self._config.timeout_s):
                response = await create(model=self._config.name, messages=[], extra_body=body)
        except (TimeoutError, openai.APITimeoutError) as error:
            raise _TryAgainError(f"no answer within {self._config.timeout_s:g} s") from error
        except openai.APIConnectionError as error:
            raise _TryAgainError(f"no connection: {error.__cause__ or error}") from error
        except openai.APIStatusError as error:
            self._status(error)
        return cast(bytes, response.content)

    def _status(self, error: openai.APIStatusError) -> NoReturn:
        """Sort an error status: another try, or refused for good."""
        status = error.status_code
        if status == 429 and error.code == "insufficient_quota":
            self._refuse(error)  # a quota does not come back by waiting
        if status >= 500 or status in _RETRIED_STATUSES:
            wait_s = _retry_after(error.response.headers, self._clock.now())
            raise _TryAgainError(f"{status}: {self._scrub(error.message)}", wait_s) from error
        if status == 400 and self._limit_field in error.message:
            other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
            self._limit_field = other[self._limit_field]
            raise _TryAgainError(f"400: {self._scrub(error.message)}", 0.0) from error
        self._refuse(error)

    def _refuse(self, error: openai.APIStatusError) -> NoReturn:
        status = error.status_code
        check = {
            401: f"check the key in {KEY_VARIABLE}",
            403: f"check that the key in {KEY_VARIABLE} may use the model {self._config.name!r}",
            404: f"check the model name {self._config.name!r} and the address ({URL_VARIABLE})",
            429: "check the account's quota",
        }.get(status, f"check agent.model and that {self._config.name!r} can call tools")
        if "context" in error.message and status in (400, 413):
            check = "set agent.model.context_tokens to the model's real context window"
        raise ModelRefusedError(
            f"the model endpoint {self.url} refuses ({status}): "
            f"{self._scrub(error.message)}; {check}"
        ) from None  # the response may repeat the key

    def _scrub(self, text: str) -> str:
        return text.replace(self._key, "***")[:500] if self._key else text[:500]

    def _usage(self, data: Any, messages: Sequence[JsonObject], body: bytes) -> Usage:
        """What the endpoint says it used; an estimate where it says nothing."""
        said = cast(JsonObject, data).get("usage") if isinstance(data, dict) else None
        if not isinstance(said, dict):
            return Usage(estimate_tokens(messages), len(body) // _CHARACTERS_PER_TOKEN)
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


def _assistant(message: Mapping[str, Any]) -> JsonObject:
    """The parts of an answer's message that are kept; tool calls made well-formed."""
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        content = json.dumps(content)
    kept: JsonObject = {"role": "assistant", "content": content}
    calls = [_tool_call(call) for call in message.get("tool_calls") or ()]
    if calls:
        kept["tool_calls"] = calls
    elif not content:
        kept["content"] = "(no answer)"  # some servers refuse to read back an empty one
    return kept


def _tool_call(call: Mapping[str, Any]) -> JsonObject:
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    try:
        json.loads(arguments)
    except ValueError:
        arguments = json.dumps({INVALID_ARGUMENTS: arguments})
    return {
        **call,
        "id": str(call.get("id") or f"call_{uuid.uuid4().hex}"),
        "type": "function",
        "function": {"name": str(function["name"]), "arguments": arguments},
    }


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` (or `retry-after-ms`) asks to wait; None without one."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) * unit_s)
        except ValueError:
            pass
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
        except ValueError:
            return None
    return None
