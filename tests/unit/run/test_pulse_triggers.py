"""Triggers that look at the clock, at crashes, at the budget and at what attempts changed."""

import asyncio
from typing import Any

from tests.unit.run.heartbeat_rules import rule

from harness.events import EventKind
from harness.ids import AgentId


def test_silence_stall_and_busy_by_the_clock(make_bench: Any) -> None:
    bench = make_bench(
        rule("quiet", "silence", minutes=30), rule("hung", "stall", minutes=10), agents=2
    )
    core = bench.core
    bench.tick()
    core.mark(AgentId("agent-1"), "running", 1200.0)
    core.mark(AgentId("agent-2"), "evaluating")
    for _ in range(20):
        bench.tick(59)
    assert bench.fired() == [], "one runs a command within its limit, one waits for a verdict"
    for _ in range(4):
        bench.tick(60)
    assert bench.fired() == [("hung", "agent-1", 0)]
    core.mark(AgentId("agent-1"), "working")
    bench.tick()
    bench.tick(500)
    assert [name for name, _, _ in bench.fired()] == ["hung", "quiet"]
    bench.tick(200)
    assert [name for name, _, _ in bench.fired()] == ["hung", "quiet", "hung"]
    # The end of a session is no silence.
    bench.clock.time += 86_400
    bench.reopen()
    bench.tick()
    assert len(bench.fired()) == 3
    core = bench.core
    core.say(AgentId("agent-1"), "crashed", "")
    core.pauses.pause(AgentId("agent-2"), "a while")
    bench.tick(86_400)
    assert len(bench.fired()) == 3


def test_a_clock_that_is_set_makes_nobody_stall(make_bench: Any) -> None:
    bench = make_bench(rule("hung", "stall", minutes=10))
    bench.tick()
    ahead = bench.clock.now() + 86_400
    for _ in range(3):
        bench.clock.time += 1
        bench.pulse.tick(ahead)
    assert bench.fired() == []


def test_crashes_are_counted_over_a_resume(make_bench: Any) -> None:
    bench = make_bench(rule("falls", "crashes", every=3, minutes=10, action="restart"))
    for _ in range(2):
        bench.core.store.event(EventKind.CRASH, agent="agent-2", text="x")
        bench.tick(60)
    bench.reopen()
    bench.tick()
    assert bench.fired() == []
    bench.core.store.event(EventKind.CRASH, agent="agent-2", text="x")
    bench.tick()
    bench.tick()
    assert bench.fired() == [("falls", "agent-2", 0)]


def test_a_budget_fires_once_and_again_when_it_is_extended(make_bench: Any) -> None:
    bench = make_bench(rule("end", "budget", fraction=0.9), agents=1, evaluations=10)
    for _ in range(9):
        bench.try_one("agent-1", 1.0)
    bench.reopen()
    bench.tick()
    assert bench.fired() == [("end", "agent-1", 8)], "the seed is one of the ten"
    asyncio.run(
        bench.core.budget.extend(bench.core.config.budget.model_copy(update={"evaluations": 14}))
    )
    for _ in range(2):
        bench.try_one("agent-1", 1.0)
        assert len(bench.fired()) == 1
    bench.try_one("agent-1", 1.0)
    assert bench.fired()[1:] == [("end", "agent-1", 12)]


def test_near_copies_are_told_by_what_attempts_changed(make_bench: Any) -> None:
    lines = [f"v{number} = solve({number}, grid)" for number in range(50)]
    bench = make_bench(rule("alike", "convergence", every=4, scope="team"))
    base = bench.try_one("agent-1", 1.0, files={"m.py": "\n".join(lines).encode()})

    def change(number: int, text: str) -> dict[str, bytes]:
        return {"m.py": "\n".join([*lines[:number], text, *lines[number + 1 :]]).encode()}

    for number in range(4):
        own = f"v{number} = other_{number}[key_{number}]"
        bench.try_one("agent-1", 1.0, files=change(number, own), base=base.id)
    assert bench.fired() == [], "one line of fifty each, but another one"
    for number in range(4):
        same = "v9 = cache[key]" + " " * number
        bench.try_one(f"agent-{number + 1}", 1.0, files=change(9, same), base=base.id)
    assert bench.fired() == [("alike", "", 8)]
    assert len(bench.take("agent-4")) == 1
