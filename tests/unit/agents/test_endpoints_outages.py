"""The pool of endpoints: what callers share, outages, storms, and requests that always fail."""

import asyncio

import pytest
from tests.unit.agents.endpoint_setting import HELLO, Ledger, hi, setting, until

from harness.agents.base import ModelConfig
from harness.agents.endpoints import EndpointPool
from harness.errors import ModelUnavailableError
from harness.testing.endpoint import (
    Reply,
    Request,
    ScriptedEndpoint,
    rate_limited,
    server_error,
    slow,
    text,
)
from harness.testing.troubles import storm, with_troubles


async def test_agents_share_one_line_to_an_endpoint() -> None:
    async with setting(hi) as s:
        clients = [s.pool.client(s.model(temperature=n / 100)) for n in range(24)]
        assert len({id(client) for client in clients}) == 24
        assert s.pool.client(s.model(temperature=0.0)) is clients[0]
        await asyncio.gather(*(c.complete(HELLO, [], s.ledger.reserve) for c in clients))
        ((url, in_flight, waiting, limit),) = s.pool.load()
        assert (url, in_flight, waiting) == (s.endpoint.url, 0, 0)
        assert limit > 8, "24 at once: it let more and more in"


async def test_an_outage_is_waited_out_by_all_and_costs_nothing() -> None:
    async with setting(hi, retries=0) as s:
        assert not s.pool.answered(s.model())
        await s.ask()
        assert s.pool.answered(s.model())
        s.endpoint.kill()
        agents = [asyncio.create_task(s.ask()) for _ in range(16)]
        await until(lambda: bool(s.pool.outages()))
        ((url, since, reason),) = s.pool.outages()
        assert url == s.endpoint.url
        assert since > 1e9
        assert "no connection" in reason
        assert s.pool.outage(s.model()) == (url, since, reason)
        await asyncio.sleep(0.1)
        assert s.ledger.open == 0, "nobody holds a reservation while waiting"
        assert not any(agent.done() for agent in agents)
        sent = s.ledger.reserved
        await asyncio.sleep(0.1)
        assert s.ledger.reserved == sent, "probes are no calls"
        s.endpoint.restart()
        answers = await asyncio.gather(*agents)
        assert [answer.message["content"] for answer in answers] == ["hi"] * 16
        assert not s.pool.outages()
        assert [over for _, over in s.changes] == [False, True]
        assert len(s.ledger.settled) == 17


async def test_an_outage_that_breaks_calls_in_flight() -> None:
    def first_quick(request: Request) -> Reply:
        return text("hi") if request.number == 1 else slow(0.3, text("hi"))

    async with setting(first_quick, retries=0) as s:
        await s.ask()
        agents = [asyncio.create_task(s.ask()) for _ in range(8)]
        await until(lambda: len(s.endpoint.chats) >= 4)
        s.endpoint.kill()
        await until(lambda: bool(s.pool.outages()))
        s.endpoint.restart()
        answers = await asyncio.gather(*agents)
        assert len(answers) == 8
        assert len(s.ledger.settled) == 9


@pytest.mark.slow
async def test_an_outage_of_20_seconds_in_a_team_of_8() -> None:
    """As long as in life, with the pauses of life; now and then calls fail otherwise, too."""
    troubles = {n: server_error(503) for n in range(20, 2000, 9)}
    with ScriptedEndpoint(with_troubles(hi, troubles)) as endpoint:
        changes: list[bool] = []
        pool = EndpointPool({}, on_change=lambda _, over: changes.append(over))
        model = ModelConfig(name="m", base_url=endpoint.url, retries=3)
        ledger = Ledger()
        answers = 0

        async def agent() -> None:
            nonlocal answers
            while over_at is None or answers < over_at + 16:
                await pool.client(model).complete(HELLO, [], ledger.reserve)
                answers += 1
                await asyncio.sleep(0.05)

        over_at: int | None = None
        async with asyncio.timeout(120):
            team = [asyncio.create_task(agent()) for _ in range(8)]
            await until(lambda: answers >= 16)
            endpoint.kill()
            await until(lambda: bool(pool.outages()))
            before = answers
            await asyncio.sleep(20)
            assert answers == before
            assert ledger.open == 0
            endpoint.restart()
            over_at = answers
            await asyncio.gather(*team)
        assert changes == [False, True]
        assert len(ledger.settled) == answers
        await pool.close()


@pytest.mark.parametrize("asked", [None, 0, 0.05])
async def test_a_storm_of_429_uses_up_no_tries(asked: float | None) -> None:
    behaviour = with_troubles(hi, storm(3, 12, rate_limited(asked)))
    async with setting(behaviour, retries=0) as s:
        await s.ask()
        answers = await asyncio.gather(*(s.ask() for _ in range(6)))
        assert len(answers) == 6
        assert len(s.endpoint.chats) == 19
        assert len(s.ledger.settled) == 7


async def test_a_server_that_fails_for_all_is_an_outage_for_one_it_is_not() -> None:
    everyone = with_troubles(hi, storm(2, 9, server_error(502)))
    async with setting(everyone, retries=3) as s:
        await s.ask()
        answers = await asyncio.gather(*(s.ask() for _ in range(4)))
        assert len(answers) == 4

    def poison(request: Request) -> Reply:
        return server_error(500) if request.body.get("temperature") == 1 else text("hi")

    async with setting(poison, retries=3, concurrency=2) as s:
        await s.ask()

        async def others() -> None:
            while True:
                await s.ask()

        busy = asyncio.create_task(others())
        with pytest.raises(ModelUnavailableError, match="4 tries"):
            await s.ask(temperature=1)
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)


async def test_a_request_that_always_fails_is_given_up_where_the_server_says_it_is_well() -> None:
    def poison(request: Request) -> Reply:
        return server_error(500) if request.body.get("temperature") == 1 else text("hi")

    async with setting(poison, retries=2) as s:
        await s.ask()
        with pytest.raises(ModelUnavailableError, match="500"):
            await s.ask(temperature=1)
        assert 5 <= len(s.endpoint.chats) <= 1 + 3 + 4 * 2 + 1
        assert (await s.ask()).message["content"] == "hi"
        assert s.pool.outages() == []
