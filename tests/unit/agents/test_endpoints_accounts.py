"""What calls are charged, with every trouble in between, and the time they are given."""

import asyncio
import json

import pytest
from tests.unit.agents.endpoint_setting import BASH, hi, setting, until

from harness.agents.conversation import INVALID_ARGUMENTS
from harness.errors import ContextTooLongError, ModelUnavailableError
from harness.testing.endpoint import (
    Reply,
    Request,
    empty_choices,
    malformed_json,
    rate_limited,
    server_error,
    slow,
    text,
)
from harness.testing.troubles import (
    context_too_long,
    error_with_200,
    malformed_tool_call,
    no_message,
    with_troubles,
)


async def test_every_trouble_in_turn_and_the_account_stays_exact() -> None:
    troubles = {
        2: rate_limited(0.01),
        3: malformed_json(),
        4: server_error(503),
        5: empty_choices(),
        6: Reply(drop=True),
        7: no_message(),
        8: error_with_200(503, "overloaded"),
        9: malformed_tool_call(),
        10: rate_limited(),
        11: context_too_long(),
    }
    async with setting(with_troubles(hi, troubles), retries=6) as s:
        await s.ask()
        answer = await s.ask([BASH])
        assert answer.tries == 8
        (call,) = answer.message["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {INVALID_ARGUMENTS: '{"command": "ls'}
        with pytest.raises(ContextTooLongError):
            await s.ask([BASH])
        assert (await s.ask([BASH])).message["content"] == "hi"
        # Of the twelve, an answer came with 1, 3, 5, 7, 9 and 12; the third does not say how much.
        assert len(s.endpoint.chats) == 12
        assert s.ledger.reserved == 12
        assert [usage.estimated for usage in s.ledger.settled] == [False, True, *[False] * 4]
        assert s.ledger.settled[1].prompt_tokens <= s.ledger.worst.prompt_tokens
        assert {usage.prompt_tokens for usage in s.ledger.settled if not usage.estimated} == {9}


async def test_waiting_for_its_turn_is_not_charged_to_the_time_of_a_call() -> None:
    def slowly(_: Request) -> Reply:
        return slow(0.15, text("hi"))

    async with setting(slowly, concurrency=1, timeout_s=0.6, retries=0) as s:
        assert len(await asyncio.gather(*(s.ask() for _ in range(6)))) == 6


async def test_what_may_have_been_billed_is_charged() -> None:
    async with setting([slow(20, text("late"))] * 2, timeout_s=0.1, retries=1) as s:
        with pytest.raises(ModelUnavailableError):
            await s.ask(price_input=1.0, price_output=1.0)
        assert [usage.estimated for usage in s.ledger.settled] == [True, True]
        assert all(u.prompt_tokens > 0 and u.completion_tokens == 0 for u in s.ledger.settled)
        assert all(usage.cost_usd for usage in s.ledger.settled)
    async with setting([slow(20, text("late"))]) as s:
        agent = asyncio.create_task(s.ask())
        await until(lambda: bool(s.endpoint.chats))
        agent.cancel()
        await asyncio.gather(agent, return_exceptions=True)
        (usage,) = s.ledger.settled
        assert usage.estimated
        assert s.ledger.open == 0
    async with setting(hi, retries=1) as s:
        s.endpoint.kill()
        with pytest.raises(ModelUnavailableError):
            await s.ask()
        assert not s.ledger.settled, "nothing was sent"


async def test_a_call_is_recorded_with_its_model_and_how_long_it_took() -> None:
    async with setting([slow(0.1, text("hi"))]) as s:
        answer = await s.ask()
        assert answer.usage.model == "m"
        assert answer.usage.latency_s >= 0.1
        assert not answer.usage.estimated
        assert answer.tries == 1
