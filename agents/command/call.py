"""One call that an agent's CLI makes through the gateway."""

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from harness.agents.addresses import Endpoint
from harness.agents.answers import estimate_tokens
from harness.agents.base import AgentContext, ModelCall, ModelConfig, Usage
from harness.agents.command.translate import as_events, to_chat, to_message
from harness.agents.command.wire import (
    LIMITS,
    Events,
    Format,
    JsonObject,
    Meter,
    bounded,
    format_of,
    refusal,
)
from harness.agents.gate import Outcome, Permit
from harness.agents.pricing import price_of, with_cost
from harness.agents.refusals import retry_after
from harness.errors import BudgetExhaustedError

MAX_ANSWER_BYTES = 64 * 1024 * 1024

PATHS: dict[Format, str] = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "messages": "/messages",
}
_CHARACTERS_PER_TOKEN = 3
_CONNECT_TIMEOUT_S = 30.0
_ANTHROPIC_VERSION = "2023-06-01"
_PASSED_ON = ("anthropic-version", "anthropic-beta", "openai-beta")
_PASSED_BACK = ("retry-after", "retry-after-ms", "request-id", "x-request-id")

_OUTCOMES = {200: Outcome.ANSWERED, 429: Outcome.BUSY}
_EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}


def speaks_anthropic(model: ModelConfig, url: str) -> bool:
    """Whether an endpoint takes `/v1/messages`."""
    if model.api != "auto":
        return model.api == "anthropic"
    return (urlsplit(url).hostname or "").endswith("anthropic.com")


def _of_status(status: int) -> Outcome:
    return Outcome.FAILED if status >= 500 else Outcome.ALIVE


class Caller(Protocol):
    """The gateway, as its calls use it."""

    calls: int
    """Calls that were settled."""

    def client(self) -> httpx2.AsyncClient: ...

    def exhausted(self, error: BudgetExhaustedError) -> None:
        """Told when a call does not fit the budget."""
        ...


class Call:
    """One call of the CLI, from the reservation to what was used."""

    def __init__(
        self,
        gateway: Caller,
        context: AgentContext,
        request: Request,
        body: JsonObject,
        model: ModelConfig,
        endpoint: Endpoint,
    ) -> None:
        self._gateway = gateway
        self._context = context
        self._path = request.url.path
        self._headers = request.headers
        self._given = body
        self._model = model
        self._endpoint = endpoint
        self._asked = format_of(self._path)
        self._anthropic = speaks_anthropic(model, endpoint.url)
        self._translated = self._asked == "messages" and not self._anthropic
        self._form: Format = "chat" if self._translated else self._asked
        self._meter = Meter(self._form)
        self._price = price_of(model)
        self._body: JsonObject = {}
        self._worst = Usage()
        self._call: ModelCall | None = None
        self._permit: Permit | None = None
        self._began = time.monotonic()

    async def run(self) -> Response:
        given = to_chat(self._given) if self._translated else self._given
        body, limit = bounded(given, self._form, self._model.max_output_tokens)
        extra = {k: v for k, v in self._model.extra_body.items() if k not in LIMITS[self._form]}
        self._body = {**body, **extra, "model": self._model.name}
        if self._streams and self._form == "chat":
            options = cast(JsonObject, self._given.get("stream_options") or {})
            self._body["stream_options"] = {**options, "include_usage": True}
        worst = Usage(
            prompt_tokens=estimate_tokens(self._body),
            completion_tokens=limit,
            model=str(self._model.name),
        )
        self._worst = with_cost(worst, self._price)
        self._context.say(f"calling {self._model.name}")
        stack = AsyncExitStack()
        try:
            gate = self._context.endpoints.gate(self._model)
            self._permit = await stack.enter_async_context(gate.enter(gate.ticket()))
            self._began = time.monotonic()
            self._call = await stack.enter_async_context(self._context.model_call(self._worst))
            response = await self._respond(stack)
        except BudgetExhaustedError as error:
            self._gateway.exhausted(error)
            return refusal(self._path, 400, f"the budget does not allow this call: {error}")
        except BaseException:
            await stack.aclose()
            raise
        if not isinstance(response, _Stream):
            await stack.aclose()
        return response

    @property
    def _streams(self) -> bool:
        """Whether the endpoint is asked for a stream."""
        return bool(self._given.get("stream")) and not self._translated

    async def _respond(self, stack: AsyncExitStack) -> Response:
        timeout = httpx2.Timeout(self._model.timeout_s, connect=_CONNECT_TIMEOUT_S)
        request = self._gateway.client().build_request(
            "POST",
            self._endpoint.url + PATHS[self._form],
            content=json.dumps(self._body).encode(),
            headers=self._upstream_headers(),
            timeout=timeout,
        )
        try:
            answer = await self._gateway.client().send(request, stream=True)
        except httpx2.TimeoutException:
            self._report(Outcome.LATE, reason="no answer in time")
            return refusal(self._path, 504, f"no answer within {self._model.timeout_s:g} s")
        except httpx2.HTTPError as error:
            self._report(Outcome.UNREACHABLE, reason=type(error).__name__)
            return refusal(self._path, 502, f"the model endpoint: {type(error).__name__}")
        status = answer.status_code
        wait_s = retry_after(answer.headers, time.time())
        self._report(_OUTCOMES.get(status, _of_status(status)), wait_s, f"status {status}")
        stack.push_async_callback(answer.aclose)
        passed = {n: answer.headers[n] for n in _PASSED_BACK if n in answer.headers}
        if self._streams and answer.status_code == 200 and _is_events(answer):
            return _Stream(self, stack, answer, passed)
        return await self._whole(answer, passed)

    def _report(self, outcome: Outcome, wait_s: float | None = None, reason: str = "") -> None:
        assert self._permit is not None
        self._permit.report(outcome, wait_s=wait_s, reason=reason)

    def _upstream_headers(self) -> dict[str, str]:
        headers = {n: self._headers[n] for n in _PASSED_ON if n in self._headers}
        headers["content-type"] = "application/json"
        if self._anthropic and self._form == "messages":
            headers.setdefault("anthropic-version", _ANTHROPIC_VERSION)
            if self._endpoint.key:
                headers["x-api-key"] = self._endpoint.key
        elif self._endpoint.key:
            headers["authorization"] = f"Bearer {self._endpoint.key}"
        return headers

    async def _whole(self, answer: httpx2.Response, passed: dict[str, str]) -> Response:
        """An answer that is read to its end before it is passed on."""
        data = bytearray()
        try:
            async for block in answer.aiter_bytes():
                data += block
                if len(data) > MAX_ANSWER_BYTES:
                    self.settle("answer too long", len(data))
                    return refusal(self._path, 502, f"more than {MAX_ANSWER_BYTES} bytes")
        except httpx2.HTTPError as error:
            if answer.status_code == 200:
                self.settle("answer cut off", len(data))
            return refusal(self._path, 502, f"the answer was cut off: {type(error).__name__}")
        if answer.status_code != 200:
            return self._refused(answer.status_code, bytes(data), passed)
        try:
            body: object = json.loads(data)
        except (ValueError, RecursionError):
            self.settle("answer is not JSON", len(data))
            return refusal(self._path, 502, "the model endpoint answered something else than JSON")
        self._meter.whole(body)
        self.settle("", len(data))
        if not self._translated:
            return Response(bytes(data), media_type="application/json", headers=passed)
        try:
            message = to_message(body, str(self._model.name))
        except ValueError as error:
            return refusal(self._path, 502, f"the model endpoint: {error}")
        if self._given.get("stream"):
            return Response(b"".join(as_events(message)), headers={**passed, **_EVENTS})
        return JSONResponse(message, headers=passed)

    def _refused(self, status: int, data: bytes, passed: dict[str, str]) -> Response:
        """The endpoint's error, without what it may repeat of the key."""
        text = self._scrub(data[:4000].decode("utf-8", "replace"))
        notice = f"the model endpoint answered {status}: {text[:500]}"
        message = {"role": "user", "content": notice, "harness": "notice"}
        self._context.log({"type": "user", "message": message})
        if self._translated:
            response = refusal(self._path, status, text)
            response.headers.update(passed)
            return response
        return Response(text.encode(), status, headers=passed, media_type="application/json")

    def _scrub(self, text: str) -> str:
        return text.replace(self._endpoint.key, "***") if self._endpoint.key else text

    def settle(self, wrong: str, size: int) -> None:
        """Charge what was used; an estimate where the endpoint did not say."""
        used = self._meter.usage()
        seen = max(self._meter.characters, size if wrong else 0) // _CHARACTERS_PER_TOKEN
        if used is None:
            used = Usage(self._worst.prompt_tokens, seen, estimated=True)
        elif wrong:  # the count comes with the end
            tokens = max(used.completion_tokens, seen)
            used = replace(used, completion_tokens=tokens, estimated=True)
        latency_s = time.monotonic() - self._began
        used = replace(used, model=str(self._model.name), latency_s=latency_s)
        usage = with_cost(used, self._price)
        call, self._call = self._call, None
        if call is None:
            return
        call.settle(usage)
        self._gateway.calls += 1
        message: JsonObject = {"role": "assistant", "content": self._meter.text}
        if self._meter.calls:
            message["tool_calls"] = [
                {"type": "function", "function": made} for made in self._meter.calls
            ]
        turn: JsonObject = {
            "type": "assistant",
            "message": message,
            "model": self._model.name,
            "usage": asdict(usage),
            "finish_reason": wrong or "stop",
            "turn": self._gateway.calls,
            "duration_s": latency_s,
        }
        self._context.log(turn)

    async def events(self, answer: httpx2.Response) -> AsyncIterator[bytes]:
        """The endpoint's stream, with its usage taken from it."""
        options = cast(JsonObject, self._given.get("stream_options") or {})
        wants_usage = bool(options.get("include_usage"))

        def passes(data: object) -> bool:
            self._meter.event(data)
            event = cast(JsonObject, data) if isinstance(data, dict) else {}
            return wants_usage or event.get("choices") != [] or "usage" not in event

        events = Events(passes)
        size = 0
        wrong = "stream cut off"
        try:
            async for block in answer.aiter_bytes():
                size += len(block)
                for event in events.feed(block):
                    yield event
                if size > MAX_ANSWER_BYTES:
                    break
            else:
                wrong = ""
            yield events.rest()
        except (httpx2.HTTPError, OverflowError) as error:
            message = f"the answer was cut off: {type(error).__name__}"
            yield _error_event(self._path, message)
        finally:
            self.settle(wrong, 0)


def _error_event(path: str, message: str) -> bytes:
    body = refusal(path, 502, message).body
    return b"event: error\ndata: " + bytes(body) + b"\n\n"


def _is_events(answer: httpx2.Response) -> bool:
    return "text/event-stream" in answer.headers.get("content-type", "")


class _Stream(Response):
    """A stream that is passed on; the reservation is held until it has ended."""

    def __init__(
        self, call: Call, stack: AsyncExitStack, answer: httpx2.Response, passed: dict[str, str]
    ) -> None:
        super().__init__(headers={**passed, **_EVENTS})
        self._of = call
        self._stack = stack
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del self.headers["content-length"]
        async with self._stack:
            head: Iterable[tuple[bytes, bytes]] = self.raw_headers
            await send({"type": "http.response.start", "status": 200, "headers": list(head)})
            # To its end even if the client has gone: then the usage is known.
            async for block in self._of.events(self._answer):
                if block:
                    body: dict[str, Any] = {"type": "http.response.body", "body": block}
                    await send({**body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
