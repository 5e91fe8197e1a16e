"""The gate before an endpoint: how many, in which order, after which pause, and outages."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agents.gate import FIRST_LIMIT, Gate, Outage, Outcome, Probe

DEADLINE_S = 20.0


class Server:
    """Answers probes as told; keeps what the gate said."""

    def __init__(self, *probes: Probe) -> None:
        self.probes = list(probes)
        self.asked = 0
        self.changes: list[tuple[Outage, bool]] = []

    async def probe(self) -> Probe:
        self.asked += 1
        return self.probes.pop(0) if len(self.probes) > 1 else self.probes[0]

    def listen(self, outage: Outage, over: bool) -> None:
        self.changes.append((outage, over))


@asynccontextmanager
async def gate_to(server: Server, most: int = 64, *, answered: bool = True) -> AsyncGenerator[Gate]:
    gate = Gate(
        "http://here/v1",
        most,
        probe=server.probe,
        answered=answered,
        listener=server.listen,
        first_pause_s=0.001,
        longest_pause_s=0.01,
    )
    async with asyncio.timeout(DEADLINE_S):
        yield gate
    await gate.close()


async def call(gate: Gate, outcome: Outcome, *, wait_s: float | None = None) -> None:
    async with gate.enter(gate.ticket()) as permit:
        permit.report(outcome, wait_s=wait_s, reason="because")


async def round_trip(gate: Gate, outcome: Outcome = Outcome.ANSWERED) -> int:
    """As many calls at once as are let in, all ending together; how many they were."""
    end = asyncio.Event()
    inside = 0

    async def one() -> None:
        nonlocal inside
        async with gate.enter(gate.ticket()) as permit:
            inside += 1
            await end.wait()
            permit.report(outcome)

    calls = [asyncio.create_task(one()) for _ in range(200)]
    await asyncio.sleep(0.01)
    at_once = inside
    for task in calls[at_once:]:
        task.cancel()
    end.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert gate.in_flight == 0
    assert gate.waiting == 0
    return at_once


async def test_slow_start_doubles_every_round_trip_up_to_the_limit() -> None:
    async with gate_to(Server(Probe.UP), 64) as gate:
        assert [await round_trip(gate) for _ in range(6)] == [8, 16, 32, 64, 64, 64]


async def test_a_burst_of_refusals_halves_once_then_it_grows_by_one() -> None:
    async with gate_to(Server(Probe.UP), 64) as gate:
        for _ in range(4):
            await round_trip(gate)
        assert gate.limit == 64
        assert await round_trip(gate, Outcome.BUSY) == 64
        assert gate.limit == 32, "64 refusals of one window count once"
        sizes = [await round_trip(gate) for _ in range(3)]
        assert sizes == sorted(sizes)
        assert 32 <= sizes[-1] <= 35, "no doubling after a refusal"


async def test_an_idle_endpoint_does_not_earn_more() -> None:
    async with gate_to(Server(Probe.UP), 64) as gate:
        for _ in range(50):
            await call(gate, Outcome.ANSWERED)
        assert gate.limit <= 2 * FIRST_LIMIT, "one call at a time says nothing about 64"


async def test_the_smallest_of_several_limits_holds() -> None:
    async with gate_to(Server(Probe.UP), 64) as gate:
        gate.at_most(2)
        gate.at_most(8)
        assert [await round_trip(gate) for _ in range(3)] == [2, 2, 2]


async def test_first_come_first_served_and_a_retry_keeps_its_place() -> None:
    order: list[str] = []
    async with gate_to(Server(Probe.UP), 1) as gate:
        old = gate.ticket()

        async def one(name: str, ticket: int) -> None:
            async with gate.enter(ticket) as permit:
                order.append(name)
                await asyncio.sleep(0)
                permit.report(Outcome.ANSWERED)

        async with gate.enter(gate.ticket()):
            waiting = [asyncio.create_task(one(f"{n}", gate.ticket())) for n in range(5)]
            await asyncio.sleep(0)
            waiting.append(asyncio.create_task(one("again", old)))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
    assert order == ["again", "0", "1", "2", "3", "4"]


async def test_a_pause_holds_for_all_and_a_long_one_is_told() -> None:
    server = Server(Probe.UP)
    async with gate_to(server) as gate:
        await call(gate, Outcome.BUSY, wait_s=0.05)
        start = asyncio.get_running_loop().time()
        await asyncio.gather(*(call(gate, Outcome.ANSWERED) for _ in range(5)))
        assert asyncio.get_running_loop().time() - start >= 0.05
        assert not server.changes
        await call(gate, Outcome.BUSY, wait_s=3600)
        ((outage, over),) = server.changes
        assert not over
        assert "3600" in outage.reason
        assert gate.outage == outage


async def test_an_outage_is_waited_for_and_told_once() -> None:
    server = Server(Probe.DOWN, Probe.DOWN, Probe.UP)
    async with gate_to(server) as gate:
        for _ in range(3):
            assert gate.outage is None
            await call(gate, Outcome.UNREACHABLE)
        assert gate.down
        assert gate.outage is not None
        await asyncio.gather(*(call(gate, Outcome.ANSWERED) for _ in range(20)))
        assert not gate.down
        assert gate.outage is None
        assert server.asked == 3
        assert [over for _, over in server.changes] == [False, True]
        assert server.changes[0][0].reason == "because"


async def test_a_server_that_only_seems_back_closes_the_gate_again() -> None:
    """It lists its models, but completions fail: one outage, whose calls stay where they are."""
    server = Server(Probe.UP)
    async with gate_to(server) as gate:
        for _ in range(3):
            await call(gate, Outcome.FAILED)
        for _ in range(5):
            await call(gate, Outcome.FAILED)
            assert gate.down
        await call(gate, Outcome.ANSWERED)
        assert not gate.down
        assert server.asked == 6
        assert [over for _, over in server.changes] == [False, True]


async def test_nobody_is_let_in_while_it_is_down() -> None:
    async with gate_to(Server(Probe.DOWN)) as gate:
        for _ in range(3):
            await call(gate, Outcome.UNREACHABLE)
        assert await round_trip(gate) == 0


async def test_when_only_a_call_can_tell_one_is_let_in() -> None:
    async with gate_to(Server(Probe.UNCLEAR)) as gate:
        for _ in range(3):
            await call(gate, Outcome.FAILED)
        while gate.limit != 1:
            await asyncio.sleep(0.001)
        assert await round_trip(gate) == 1
        assert not gate.down


async def test_an_endpoint_that_never_answered_is_not_waited_for() -> None:
    async with gate_to(Server(Probe.DOWN), answered=False) as gate:
        for _ in range(10):
            await call(gate, Outcome.UNREACHABLE)
        assert not gate.down


async def test_what_a_working_server_says_ends_the_row_of_failures() -> None:
    async with gate_to(Server(Probe.DOWN)) as gate:
        for _ in range(5):
            await call(gate, Outcome.FAILED)
            await call(gate, Outcome.FAILED)
            await call(gate, Outcome.ALIVE)
        assert not gate.down


async def test_who_gives_up_waiting_leaves_no_trace() -> None:
    async with gate_to(Server(Probe.UP), 1) as gate:
        async with gate.enter(gate.ticket()):
            waiting = [asyncio.create_task(call(gate, Outcome.ANSWERED)) for _ in range(4)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            waiting[2].cancel()
            await asyncio.sleep(0)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [result is None for result in results] == [False, True, False, True]
        await call(gate, Outcome.ANSWERED)
        assert gate.in_flight == 0


@pytest.mark.parametrize("moment", ["waiting", "let in"])
async def test_cancelling_at_any_moment_gives_the_place_back(moment: str) -> None:
    async with gate_to(Server(Probe.UP), 1) as gate:
        async with gate.enter(gate.ticket()):
            task = asyncio.create_task(call(gate, Outcome.ANSWERED))
            await asyncio.sleep(0)
            if moment == "waiting":
                task.cancel()
        task.cancel()  # in the second case it was let in, and has not run since
        await asyncio.gather(task, return_exceptions=True)
        assert gate.in_flight == 0
        await call(gate, Outcome.ANSWERED)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(Outcome)), st.integers(0, 3), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 8),
)
def test_never_more_than_the_limit_and_everyone_gets_in(
    calls: list[tuple[Outcome, int, bool]], most: int
) -> None:
    async def run() -> None:
        async with gate_to(Server(Probe.DOWN, Probe.UNCLEAR, Probe.UP), most) as gate:
            inside = 0

            async def one(outcome: Outcome, turns: int) -> None:
                nonlocal inside
                async with gate.enter(gate.ticket()) as permit:
                    inside += 1
                    assert inside <= gate.in_flight <= most
                    try:
                        for _ in range(turns):
                            await asyncio.sleep(0)
                        permit.report(outcome)
                    finally:
                        inside -= 1

            tasks = [asyncio.create_task(one(outcome, turns)) for outcome, turns, _ in calls]
            await asyncio.sleep(0)
            for task, (_, _, given_up) in zip(tasks, calls, strict=True):
                if given_up:
                    task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [r for r in results if isinstance(r, Exception)]
            assert gate.in_flight == 0
            assert gate.waiting == 0

    asyncio.run(run())
