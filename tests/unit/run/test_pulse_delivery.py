"""What firings lead to: messages given once, actions performed once, notes passed on."""

import asyncio
from typing import Any

from tests.unit.run.heartbeat_rules import AGENTS, rule

from harness.events import EventKind
from harness.ids import AgentId, RecordId
from harness.memory.base import ShownRecord
from harness.run.store import MemoryEntry


def test_a_message_is_given_once_and_again_to_who_did_not_live_to_hear_it(make_bench: Any) -> None:
    bench = make_bench(rule("r", every=1))
    bench.try_one("agent-1", 1.0)
    assert [each.text for each in bench.take("agent-1")] == ["r agent-1"]
    bench.reopen()
    assert bench.core.store.interventions.again(AgentId("agent-1")) == 1
    assert [each.text for each in bench.take("agent-1")] == ["r agent-1"]
    # Asking for more shows that the last one was heard.
    assert bench.take("agent-1") == []
    bench.reopen()
    assert bench.core.store.interventions.again(AgentId("agent-1")) == 0
    assert bench.take("agent-1") == []
    given_to = [each.agent for each in bench.events(EventKind.INTERVENTION) if "given" in each.data]
    assert given_to == ["agent-1", "agent-1"]


def test_an_urgent_message_wakes_its_agent_only(make_bench: Any) -> None:
    bench = make_bench(rule("r", every=1, urgent=True, action="restart"))
    bench.try_one("agent-2", 1.0)
    assert bench.core.urgency(AgentId("agent-2")).is_set()
    assert not bench.core.urgency(AgentId("agent-1")).is_set()
    assert bench.core.store.interventions.urgent(AgentId("agent-2"))
    (message,) = bench.take("agent-2")
    assert (message.urgent, message.action) == (True, "restart")
    assert not bench.core.store.interventions.urgent(AgentId("agent-2"))


def test_actions_are_performed_once_and_their_outcome_is_kept(
    make_bench: Any, recorder: Any
) -> None:
    bench = make_bench(
        rule("a", every=1, action={"do": "pause", "minutes": 5}),
        rule("b", every=1, action={"do": "retune", "temperature": 1.0}),
        rule("c", every=1, action="pivot"),
        rule("d", every=1, scope="team", action="retire"),
        rule("e", every=1, scope="team", action={"do": "spawn", "role": "sceptic"}),
        rule("f", every=1, scope="team", action="fork"),
        agents=2,
    )

    async def play() -> None:
        bench.pulse.attach(recorder)
        bench.try_one("agent-1", 5.0)
        await asyncio.sleep(0.01)
        bench.reopen()
        bench.pulse.attach(recorder)
        bench.tick()

    asyncio.run(play())
    assert recorder.done == [
        ("pause", "agent-1", 300.0),
        ("retune", "agent-1", None, 1.0),
        ("pivot", "agent-1", "1"),
        ("retire", "agent-2"),
        ("spawn", "sceptic"),
        ("fork", "agent-1"),
    ]
    assert [each.rule for each in bench.take("agent-101")] == ["e"]
    assert [each.text for each in bench.take("agent-102")] == ["f agent-102"]


def test_what_a_kill_left_undone_is_done_at_the_resume(make_bench: Any, recorder: Any) -> None:
    bench = make_bench(rule("a", every=1, action="pause"))
    bench.try_one("agent-1", 1.0)
    bench.reopen()
    assert recorder.done == []
    bench.pulse.attach(recorder)
    assert recorder.done == [("pause", "agent-1", 600.0)]
    bench.reopen()
    bench.pulse.attach(recorder)
    assert len(recorder.done) == 1


def write_note(bench: Any, agent: str, title: str, text: str) -> None:
    shown = ShownRecord(RecordId("f" * 32), 1, 0.0, text)
    bench.core.store.memory_log(MemoryEntry("write", agent, title, (shown,)))


def test_a_dream_s_note_goes_to_the_agents_it_names_once(make_bench: Any) -> None:
    bench = make_bench({"name": "dream", "every": 2, "when": None}, agents=12)
    bench.try_one("agent-2", 9.0)
    for agent in ("agent-1", "agent-3"):
        bench.try_one(agent, None)
    (asked,) = bench.take("agent-2")
    assert "agent-1:\n- attempt 2, improve of 0, failed: “title 2”" in asked.text
    assert "title begins with `dream-1`" in asked.text
    write_note(bench, "agent-3", "dream-1", "agent-1 should stop")
    write_note(bench, "agent-2", "dream-11", "agent-1 should stop")
    bench.tick()
    assert bench.take("agent-1") == [], "another one's note, and another firing's"
    write_note(bench, "agent-2", "dream-1: what failed", "agent-1 and agent-12 should ``` stop")
    bench.tick()
    write_note(bench, "agent-2", "dream-1 again", "agent-1 once more")
    bench.tick()
    bench.reopen()
    bench.tick()
    (told,) = bench.take("agent-1")
    assert told.rule == "dream"
    assert "agent-2 has looked back for the team" in told.text
    assert "````note\ndream-1: what failed\nagent-1 and agent-12 should ``` stop\n````" in told.text
    assert len(bench.take("agent-12")) == 1
    assert bench.take("agent-3") == bench.take("agent-2") == []


def test_a_note_that_names_nobody_goes_to_all_others(make_bench: Any) -> None:
    bench = make_bench({"name": "dream", "every": 2, "when": None}, agents=3)
    bench.try_one("agent-2", 9.0)
    bench.try_one("agent-1", None)
    bench.try_one("agent-1", None)
    write_note(bench, "agent-2", "dream-1", "all of it was wrong")
    bench.tick()
    assert [len(bench.take(agent)) for agent in AGENTS] == [1, 1, 1], "the second one was asked"
