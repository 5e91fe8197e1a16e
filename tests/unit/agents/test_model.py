"""The model client, through the real `openai` client over real HTTP."""

import email.utils
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from harness.agents.base import ModelCall, ModelConfig, Usage
from harness.agents.model import Answer, ModelClient, resolve_endpoint
from harness.clock import Clock
from harness.errors import (
    BudgetExhaustedError,
    ConfigurationError,
    ModelRefusedError,
    ModelUnavailableError,
)
from harness.testing.endpoint import (
    Behaviour,
    Reply,
    Request,
    ScriptedEndpoint,
    dropped,
    empty_choices,
    malformed_json,
    rate_limited,
    refusal,
    server_error,
    slow,
    text,
    tool_calls,
)

KEY = "sk-a-very-secret-key"
HELLO = [{"role": "user", "content": "hello"}]


class Ledger:
    """Keeps what was reserved and what was settled."""

    def __init__(self) -> None:
        self.reserved: list[Usage] = []
        self.settled: list[Usage] = []

    @asynccontextmanager
    async def reserve(self, worst_case: Usage) -> AsyncGenerator[ModelCall]:
        self.reserved.append(worst_case)
        yield self

    def settle(self, usage: Usage) -> None:
        self.settled.append(usage)


class StoppedClock:
    """A clock that stands still."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return 0.0


class Setting:
    """An endpoint, a client for it and a ledger."""

    def __init__(self, endpoint: ScriptedEndpoint, client: ModelClient) -> None:
        self.endpoint = endpoint
        self.client = client
        self.ledger = Ledger()

    async def ask(self, tools: Sequence[dict[str, Any]] = ()) -> Answer:
        return await self.client.complete(HELLO, tools, self.ledger.reserve)


@asynccontextmanager
async def setting(
    behaviour: Sequence[Reply] | Behaviour,
    *,
    wait_s: float = 0.001,
    key: str | None = None,
    model: str | None = None,
    given: str = KEY,
    clock: Clock | None = None,
    **config: Any,
) -> AsyncGenerator[Setting]:
    with ScriptedEndpoint(behaviour, key=key, model=model) as endpoint:
        settings = ModelConfig.model_validate({"name": "m", "base_url": endpoint.url, **config})
        resolved = resolve_endpoint(settings, {"OPENAI_API_KEY": given})
        client = ModelClient(settings, resolved, first_wait_s=wait_s, clock=clock)
        yield Setting(endpoint, client)
        await client.close()


async def test_an_answer_with_its_usage_and_cost() -> None:
    reply = Reply(
        body=text("hi").body,
        prompt_tokens=1000,
        completion_tokens=500,
        cached_tokens=400,
        reasoning_tokens=300,
    )
    async with setting([reply], price_input=1.0, price_output=10.0) as s:
        answer = await s.ask()
        assert answer.message == {"role": "assistant", "content": "hi"}
        assert answer.usage == Usage(1000, 500, 400, 300, answer.usage.cost_usd, model="m")
        assert answer.usage.cost_usd == pytest.approx(0.006)
        assert s.ledger.settled == [answer.usage]
        (worst,) = s.ledger.reserved
        assert worst.completion_tokens == 8192
        assert worst.cost_usd is not None
        assert worst.cost_usd > 0.08
        assert s.endpoint.chats[0].headers["authorization"] == f"Bearer {KEY}"


async def test_what_is_sent_is_what_is_configured() -> None:
    schema: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {}}}
    async with setting([text("a")], temperature=0.5, max_output_tokens=99) as s:
        await s.ask([schema])
        body = s.endpoint.chats[0].body
    assert body == {
        "model": "m",
        "messages": HELLO,
        "tools": [schema],
        "temperature": 0.5,
        "max_tokens": 99,
    }


async def test_retries_every_failure_that_may_pass() -> None:
    failures = [
        rate_limited(),
        server_error(500),
        server_error(503),
        dropped(),
        malformed_json(),
        empty_choices(),
        Reply(raw=b"[]"),
        Reply(raw=b"<html>busy</html>"),
        Reply(body={"choices": [{"message": None}]}),
    ]
    async with setting([*failures, text("at last")], retries=len(failures)) as s:
        answer = await s.ask()
        assert answer.message["content"] == "at last"
        assert len(s.endpoint.chats) == len(failures) + 1
        assert len(s.ledger.reserved) == len(failures) + 1
        # 200s that do not parse were billed: they count, by estimate where they say nothing.
        assert len(s.ledger.settled) == 6
        assert all(usage.prompt_tokens > 0 for usage in s.ledger.settled)


async def test_gives_up_after_the_configured_retries() -> None:
    async with setting([server_error()] * 9, retries=2) as s:
        with pytest.raises(ModelUnavailableError, match=r"in 3 tries.*500"):
            await s.ask()
        assert len(s.endpoint.chats) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured(form: str) -> None:
    noon = 1_800_000_000
    after = 0.4 if form == "seconds" else email.utils.formatdate(noon, usegmt=True)
    clock = StoppedClock(noon - 0.4)
    async with setting([rate_limited(after), text("ok")], clock=clock) as s:
        start = time.monotonic()
        await s.ask()
        assert time.monotonic() - start >= 0.4, "came back before it was allowed to"


async def test_a_slow_answer_is_given_up_and_asked_for_again() -> None:
    async with setting([slow(20, text("late")), text("in time")], timeout_s=0.3) as s:
        assert (await s.ask()).message["content"] == "in time"


async def test_an_endpoint_that_never_answers_is_unavailable() -> None:
    async with setting([slow(20, text("late"))] * 2, timeout_s=0.1, retries=1) as s:
        with pytest.raises(ModelUnavailableError, match=r"no answer within 0\.1 s"):
            await s.ask()


async def test_nothing_listening_is_unavailable() -> None:
    async with setting([]) as s:
        url = s.endpoint.url
    config = ModelConfig(name="m", base_url=url, retries=1)
    client = ModelClient(config, resolve_endpoint(config, {}), first_wait_s=0.001)
    with pytest.raises(ModelUnavailableError, match="no connection"):
        await client.complete(HELLO, [], Ledger().reserve)
    with pytest.raises(ModelUnavailableError, match="OPENAI_BASE_URL"):
        await client.check()
    await client.close()


@pytest.mark.parametrize(
    ("reply", "check"),
    [
        (refusal(401, f"Incorrect API key provided: {KEY}"), "the key in OPENAI_API_KEY"),
        (refusal(403, "no"), "may use the model 'm'"),
        (refusal(404, "The model does not exist"), "the model name 'm' and the address"),
        (refusal(422, "no"), "check agent.model"),
        (refusal(400, "no"), "check agent.model"),
    ],
)
async def test_a_refusal_is_final_and_says_what_to_check(reply: Reply, check: str) -> None:
    async with setting([reply, text("never asked")]) as s:
        with pytest.raises(ModelRefusedError, match=check) as raised:
            await s.ask()
        assert s.client.url in str(raised.value)
        assert KEY not in str(raised.value)
        assert len(s.endpoint.chats) == 1
        assert not s.ledger.settled


async def test_a_used_up_quota_is_not_waited_for() -> None:
    body = {"error": {"message": "quota", "code": "insufficient_quota"}}
    async with setting([Reply(status=429, body=body)]) as s:
        with pytest.raises(ModelRefusedError, match="the account's quota"):
            await s.ask()


async def test_the_key_is_neither_logged_nor_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with setting([text("hi")], key="another") as s:
            with pytest.raises(ModelRefusedError):
                await s.ask()
            shown = f"{s.client!r} {s.client.__dict__['_config']!r} {caplog.text}"
    assert KEY not in shown
    assert KEY not in repr(resolve_endpoint(ModelConfig(name="m"), {"OPENAI_API_KEY": KEY}))


async def test_the_other_name_of_the_limit_is_tried() -> None:
    def picky(request: Request) -> Reply:
        if "max_tokens" in request.body:
            return refusal(400, "Unsupported parameter: 'max_tokens', use 'max_completion_tokens'")
        return text(f"{request.body['max_completion_tokens']}")

    async with setting(picky) as s:
        assert (await s.ask()).message["content"] == "8192"
        assert (await s.ask()).message["content"] == "8192"
        assert len(s.endpoint.chats) == 3, "it remembers"


async def test_tool_calls_are_made_well_formed() -> None:
    calls = tool_calls(("f", '{"a": 1}'), ("g", "{broken"), ("h", ""), ids=["same", "same", ""])
    body = calls.body
    body["choices"][0]["message"]["tool_calls"][2]["function"]["arguments"] = {"an": "object"}
    async with setting([calls]) as s:
        message = (await s.ask()).message
    first, second, third = message["tool_calls"]
    assert first["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert "{broken" in second["function"]["arguments"]
    assert third["function"]["arguments"] == '{"an": "object"}'
    assert third["id"]


async def test_an_empty_answer_can_be_read_back() -> None:
    async with setting([text("")]) as s:
        assert (await s.ask()).message["content"]


async def test_a_call_that_does_not_fit_the_budget_is_not_made() -> None:
    @asynccontextmanager
    async def broke(worst_case: Usage) -> AsyncGenerator[ModelCall]:
        raise BudgetExhaustedError(f"{worst_case.completion_tokens}")
        yield Ledger()

    async with setting([text("hi")]) as s:
        with pytest.raises(BudgetExhaustedError):
            await s.client.complete(HELLO, [], broke)
        assert not s.endpoint.chats


async def test_check_names_the_models_or_what_is_wrong() -> None:
    async with setting([], key=KEY, model="known") as s:
        assert await s.client.check() == ["known"]
    async with setting([], key="another") as s:
        with pytest.raises(ModelRefusedError, match="OPENAI_API_KEY"):
            await s.client.check()


def test_configuration_mistakes_are_told_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="no model is named"):
        resolve_endpoint(ModelConfig(), {})
    with pytest.raises(ConfigurationError, match="no API key"):
        resolve_endpoint(ModelConfig(name="m"), {})
    with pytest.raises(ConfigurationError, match="not an address"):
        resolve_endpoint(ModelConfig(name="m", base_url="localhost:8000"), {})
    local = resolve_endpoint(ModelConfig(name="m"), {"OPENAI_BASE_URL": "http://localhost:1/v1/"})
    assert local.url == "http://localhost:1/v1"
    both = resolve_endpoint(
        ModelConfig(name="m", base_url="http://here/v1"), {"OPENAI_BASE_URL": "http://there/v1"}
    )
    assert both.url == "http://here/v1", "the configuration wins"
