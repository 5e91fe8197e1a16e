"""An OpenAI-compatible chat client: retries, usage, and errors that say what to check.

What all callers of an endpoint share (connections, limits, outages, what is known of its models) is
in `Line`; how errors and answers are understood in `refusals` and `answers`.
"""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn

import httpx2  # what `openai` speaks HTTP with; it passes its errors on while an answer streams
import openai

from harness.agents import text_protocol
from harness.agents.addresses import OPENAI_URL, URL_VARIABLE, Endpoint, resolve_endpoint
from harness.agents.answers import (
    Assembly,
    JsonObject,
    NotAnAnswerError,
    decode,
    encode,
    error_of,
    parse,
    tokens_of,
    usage_of,
)
from harness.agents.base import ModelCall, ModelConfig, Usage
from harness.agents.gate import Outcome, Permit
from harness.agents.line import CONNECT_S, Line, Traits
from harness.agents.pricing import price_of, with_cost
from harness.agents.refusals import (
    LIMIT_FIELDS,
    LearnedError,
    Problem,
    Refusal,
    TryAgainError,
    refused,
    retry_after,
    understand,
)
from harness.clock import Clock, SystemClock
from harness.errors import (
    ContextTooLongError,
    ModelUnavailableError,
)
from harness.redact import redact

__all__ = ["Answer", "Endpoint", "ModelClient", "Reserve", "resolve_endpoint"]

Reserve = Callable[[Usage], AbstractAsyncContextManager[ModelCall]]
"""Reserves the worst case of a call: `AgentContext.model_call`."""

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_LONGEST_RETRY_AFTER_S = 3600.0
_DOUBTFUL = 0.25
"""What a failure counts of a server that fails for all but says that it is well."""
_LESSONS = 8
"""So many things one call may find out about a model before that counts as a refusal."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer: the assistant message as it is sent back next time, and what it used."""

    message: JsonObject
    finish_reason: str
    usage: Usage
    reasoning: str = ""
    """What a reasoning model thought, where the endpoint shows it; not part of the message."""
    protocol: Literal["tools", "text"] = "tools"
    tries: int = 1
    """Requests that were sent for it."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A request as it is sent."""

    body: JsonObject
    data: bytes
    """`body`, encoded."""
    prompt_tokens: int
    """Upper estimate."""
    protocol: Literal["tools", "text"]
    tools: Sequence[JsonObject]

    @property
    def may_be_billed(self) -> Usage:
        """When it was sent and nobody waited for the answer: providers may bill the prompt."""
        return Usage(self.prompt_tokens, estimated=True)


class ModelClient:
    """Asks one model. Agents may share it. Belongs to one event loop.

    Args:
        config: Model and limits.
        endpoint: Where it is: `resolve_endpoint(config)`.
        line: What is shared with other callers of the endpoint; None: nobody shares it.
        clock: For the dates that endpoints name.
        first_wait_s: Seconds before the first retry; doubles with each further one.
    """

    def __init__(
        self,
        config: ModelConfig,
        endpoint: Endpoint,
        *,
        line: Line | None = None,
        clock: Clock | None = None,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self.url = endpoint.url
        self.model = config.name or ""
        self._config = config
        self._key = endpoint.key
        self._price = price_of(config)
        self._clock = clock or SystemClock()
        self._first_wait_s = first_wait_s
        self._owned = None
        if line is None:
            line = self._owned = Line(
                self.url,
                self._key,
                config.concurrency,
                clock=self._clock,
                first_pause_s=first_wait_s,
            )
        self._line = line
        # OpenAI's newer models refuse the old name, many other servers know no other.
        official = self.url == OPENAI_URL
        self._unknown = Traits(limit_field="max_completion_tokens" if official else "max_tokens")
        timeout = openai.Timeout(config.timeout_s, connect=min(CONNECT_S, config.timeout_s))
        self._client = line.client(self._key, timeout)

    async def close(self) -> None:
        """Close the connections, unless they are shared."""
        if self._owned is not None:
            await self._owned.close()

    @property
    def protocol(self) -> Literal["auto", "tools", "text"]:
        """How the model calls tools: configured or found out; `auto` before it is."""
        if self._config.protocol != "auto":
            return self._config.protocol
        return self._traits.protocol or "auto"

    @property
    def _traits(self) -> Traits:
        return self._line.traits(self.model, self._unknown)

    async def check(self) -> list[str]:
        """Ask the endpoint for its models, once; their names, empty when it does not list them.

        Raises:
            ModelUnavailableError: Nothing answers there.
            ModelRefusedError: The key is refused.
        """
        try:
            page = await self._client.with_options(timeout=CONNECT_S).models.list()
        except openai.APIStatusError as error:
            if error.status_code in (401, 403):
                self._refuse(understand(error.status_code, error.body, {}, error.message))
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
        return self._worst(self._request(messages, tools))

    def _worst(self, request: _Request) -> Usage:
        worst = Usage(request.prompt_tokens, self._config.max_output_tokens, model=self.model)
        return with_cost(worst, self._price)

    async def complete(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject], reserve: Reserve
    ) -> Answer:
        """One answer, in the tool format whatever the model speaks.

        Waits for its turn, for what the endpoint asks, and for the end of an outage of an endpoint
        that answered before, holding no reservation. Each request that is sent has its own; what
        was or may have been billed counts, also when it is not used.

        Raises:
            BudgetExhaustedError: From `reserve`.
            ContextTooLongError: The request does not fit the model: shorten it.
            ModelUnavailableError: No usable answer after the configured retries.
            ModelRefusedError: The endpoint refuses for good; says what to check.
        """
        gate = self._line.gate
        ticket = gate.ticket()
        tries = lessons = 0
        counted = 0.0
        while True:
            tries += 1
            try:
                async with gate.enter(ticket) as permit:
                    request = self._request(messages, tools)
                    async with reserve(self._worst(request)) as call:
                        answer = await self._once(request, call, permit)
                return replace(answer, tries=tries)
            except LearnedError as lesson:
                lessons += 1
                if lessons > _LESSONS:
                    self._refuse(Problem(Refusal.FINAL, 400, str(lesson)))
            except TryAgainError as failure:
                counted += failure.counted
                if counted > self._config.retries:
                    raise ModelUnavailableError(
                        f"the model endpoint {self.url} gave no usable answer in {tries} tries; "
                        f"the last one: {failure}"
                    ) from failure
                if not (failure.wait_s or gate.down):  # else the gate makes it wait
                    await asyncio.sleep(self._backoff(tries))

    def _backoff(self, tries: int) -> float:
        # Jitter keeps a team of agents from coming back all at once; it decides nothing else.
        wait_s = min(self._first_wait_s * 2.0 ** min(tries - 1, 16), _LONGEST_WAIT_S)
        return wait_s * random.uniform(0.5, 1.5)

    def _request(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject]) -> _Request:
        config, traits = self._config, self._traits
        protocol: Literal["tools", "text"] = "text" if self.protocol == "text" else "tools"
        system = "system" not in traits.dropped
        if protocol == "text":
            body: JsonObject = {"messages": text_protocol.render(messages, tools, system=system)}
        else:
            sent = list(messages) if system else text_protocol.without_system(messages)
            body = {"messages": sent, **({"tools": list(tools)} if tools else {})}
        body |= {"model": self.model, traits.limit_field: config.max_output_tokens}
        wanted: JsonObject = {
            "temperature": config.temperature,
            "reasoning_effort": config.reasoning_effort,
            "stream_options": {"include_usage": True} if config.stream else None,
            "stream": config.stream or None,
        }
        body |= {
            name: value
            for name, value in wanted.items()
            if value is not None and name not in traits.dropped
        }
        body = {**body, **config.extra_body}
        data = encode(body)  # once, for the estimate and to be sent
        return _Request(body, data, tokens_of(len(data)), protocol, tools)

    async def _once(self, request: _Request, call: ModelCall, permit: Permit) -> Answer:
        """Send it and read the answer; what it used is settled however it ends."""
        began = asyncio.get_running_loop().time()

        def settle(usage: Usage) -> Usage:
            latency_s = asyncio.get_running_loop().time() - began
            usage = replace(usage, model=self.model, latency_s=latency_s)
            usage = with_cost(usage, self._price)
            call.settle(usage)
            return usage

        try:
            # The client's time-out starts anew with every byte; this one is for the whole answer.
            async with asyncio.timeout(self._config.timeout_s):
                received, data = await self._send(request)
        except asyncio.CancelledError:
            settle(request.may_be_billed)
            raise
        except (TimeoutError, openai.APITimeoutError) as error:
            if isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout):  # not sent
                self._unreachable(permit, error)
            settle(request.may_be_billed)
            reason = f"no answer within {self._config.timeout_s:g} s"
            permit.report(Outcome.LATE, reason=reason)
            raise TryAgainError(reason) from error
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            self._unreachable(permit, error)
        except openai.APIStatusError as error:
            problem = understand(error.status_code, error.body, request.body, error.message)
            wait_s = retry_after(error.response.headers, self._clock.now())
            self._sort(problem, request, permit, wait_s)
        if (failed := error_of(data)) is not None:
            self._sort(understand(*failed, request.body), request, permit, None)
        usage = settle(usage_of(data, request.body["messages"], received))
        return self._answer(data, usage, request, permit)

    async def _send(self, request: _Request) -> tuple[int, object]:
        """The answer's length and its JSON. `_once` sorts what is raised."""
        client = self._client
        if not request.body.get("stream"):
            # What comes back is checked here, and what is sent is encoded: the client would walk
            # through it by its type hints, 0.3 s of CPU for 100 messages.
            response = await client.post(
                "/chat/completions", cast_to=httpx2.Response, content=request.data
            )
            return len(response.content), decode(response.content)
        completions: Any = client.chat.completions
        arguments: JsonObject = {"model": self.model, "messages": [], "extra_body": request.body}
        async with completions.with_streaming_response.create(**arguments) as response:
            if "json" in response.headers.get("content-type", ""):  # it does not stream after all
                body: bytes = await response.read()
                return len(body), decode(body)
            assembly = Assembly()
            try:
                async for line in response.iter_lines():
                    assembly.line(line)
            except httpx2.TransportError:
                if not assembly.received:
                    raise
                # It broke off in the middle: billed, and without its end no answer.
            return assembly.received, assembly.data()

    def _answer(self, data: object, usage: Usage, request: _Request, permit: Permit) -> Answer:
        names = [str(tool["function"]["name"]) for tool in request.tools]
        try:
            parsed = parse(data, names if request.protocol == "tools" else ())
        except NotAnAnswerError as error:
            permit.report(Outcome.ALIVE)
            raise TryAgainError(self._scrub(str(error))) from error
        permit.report(Outcome.ANSWERED)
        message, reason = parsed.message, parsed.finish_reason
        if request.tools and self._config.protocol == "auto":
            why = f"it answered by the {request.protocol} protocol"
            self._line.learn(self.model, self._unknown, why, protocol=request.protocol)
        if request.tools and request.protocol == "text":
            content = str(message["content"] or "")
            message = text_protocol.parse(content, request.tools, cut_off=reason == "length")
        # An endpoint that says its own key must not get it into a conversation.
        text = json.dumps(message, ensure_ascii=False)
        if (clean := redact.values(text)) != text:
            message = json.loads(clean)
        reasoning = redact.values(parsed.reasoning)
        return Answer(message, reason, usage, reasoning, request.protocol)

    def _unreachable(self, permit: Permit, error: Exception) -> NoReturn:
        reason = f"no connection: {error.__cause__ or error}"
        permit.report(Outcome.UNREACHABLE, reason=reason)
        # Of an endpoint that worked this is an outage, and the gate knows when it is over.
        raise TryAgainError(reason, counted=not self._line.gate.answered) from error

    def _sort(
        self, problem: Problem, request: _Request, permit: Permit, wait_s: float | None
    ) -> NoReturn:
        """An error of the endpoint: another try, another request, or refused for good."""
        reason = f"{problem.status}: {self._scrub(problem.message)}"
        wait_s = None if wait_s is None else min(wait_s, _LONGEST_RETRY_AFTER_S)
        if problem.refusal is Refusal.BUSY:
            permit.report(Outcome.BUSY, wait_s=wait_s, reason=reason)
            raise TryAgainError(reason, wait_s, counted=not self._line.gate.answered) from None
        if problem.refusal is Refusal.FAILED:
            permit.report(Outcome.FAILED, wait_s=wait_s, reason=reason)
            raise TryAgainError(reason, wait_s, counted=self._blame()) from None
        permit.report(Outcome.ALIVE)
        if problem.refusal is Refusal.AGAIN:
            raise TryAgainError(reason) from None
        if problem.refusal is Refusal.TOO_LONG:
            raise ContextTooLongError(
                f"the model endpoint {self.url} finds the request too long ({reason})",
                limit=problem.limit,
                requested=problem.requested,
            ) from None
        self._learn(problem, request, reason)
        self._refuse(problem)

    def _blame(self) -> float:
        """How much of a try a server's failure uses up: little while it fails for all, but some
        where it says that it is well; one request may be what it fails over."""
        gate = self._line.gate
        return 1.0 if not gate.down else _DOUBTFUL if gate.said_up else 0.0

    def _learn(self, problem: Problem, request: _Request, reason: str) -> None:
        """Raises `LearnedError` when the next request can do without what was refused."""
        traits = self._traits
        change: JsonObject = {}
        if problem.refusal is Refusal.NO_TOOLS and self._config.protocol == "auto":
            change = {"protocol": "text"}
        elif problem.refusal is Refusal.NO_SYSTEM:
            change = {"dropped": traits.dropped | {"system"}}
        elif problem.refusal is Refusal.PARAMETER and problem.parameter in LIMIT_FIELDS:
            change = {"limit_field": LIMIT_FIELDS[problem.parameter]}
        elif problem.refusal is Refusal.PARAMETER:
            change = {"dropped": traits.dropped | {problem.parameter}}
        if not change or problem.parameter in self._config.extra_body:
            return
        self._line.learn(self.model, self._unknown, reason, **change)
        raise LearnedError(reason) from None

    def _refuse(self, problem: Problem) -> NoReturn:
        message = self._scrub(problem.message)
        raise refused(problem, self.url, message, self._config) from None  # it may repeat the key

    def _scrub(self, text: str) -> str:
        return text.replace(self._key, "***")[:500] if self._key else text[:500]
