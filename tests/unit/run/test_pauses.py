"""Where agents stand still."""

import asyncio

from harness.clock import SystemClock
from harness.ids import AgentId
from harness.run.pauses import Pauses

ONE, TWO = AgentId("agent-1"), AgentId("agent-2")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_is_held_and_the_others_go_on() -> None:
    pauses = Pauses(SystemClock())
    pauses.pause(ONE, "why")
    waiting = asyncio.create_task(pauses.wait(ONE))
    await pauses.wait(TWO)
    await settle()
    assert not waiting.done()
    assert pauses.of(ONE) is not None
    assert pauses.of(TWO) is None
    assert pauses.go_on(ONE)
    await waiting
    assert not pauses.go_on(ONE), "nothing was held any more"


async def test_all_are_held_and_let_go_on_together() -> None:
    pauses = Pauses(SystemClock())
    pauses.pause(None, "all")
    pauses.pause(ONE, "own")
    waiting = [asyncio.create_task(pauses.wait(agent)) for agent in (ONE, TWO)]
    await settle()
    assert pauses.everyone == "all"
    assert not any(task.done() for task in waiting)
    assert pauses.go_on(None)
    await asyncio.gather(*waiting)
    assert pauses.everyone is None


async def test_a_pause_for_a_while_ends_by_itself() -> None:
    pauses = Pauses(SystemClock())
    pauses.pause(ONE, "a moment", seconds=0.05)
    async with asyncio.timeout(20):
        await pauses.wait(ONE)
    assert pauses.of(ONE) is None


async def test_a_longer_pause_takes_the_place_of_a_shorter_one() -> None:
    pauses = Pauses(SystemClock())
    pauses.pause(ONE, "a moment", seconds=0.01)
    waiting = asyncio.create_task(pauses.wait(ONE))
    pauses.pause(ONE, "for long")
    await asyncio.sleep(0.05)
    assert not waiting.done()
    pauses.go_on(ONE)
    await waiting
