"""Heartbeats in a run: exact counts whatever comes together or is killed; delivery; actions."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigurationError
from harness.events import EventKind
from harness.ids import AgentId, RecordId
from harness.memory.base import ShownRecord
from harness.run.store import MemoryEntry

AGENTS = ("agent-1", "agent-2", "agent-3")


def rule(name: str, trigger: str = "interval", **keys: Any) -> dict[str, Any]:
    return {"name": name, "trigger": trigger, "prompt": f"{name} {{{{ agent.agent }}}}", **keys}


def test_with_reflect_every_1_all_24_evaluations_of_four_agents_are_reflected_on(
    make_bench: Any,
) -> None:
    bench = make_bench({"name": "reflect", "every": 1})
    waiting = [bench.submit(f"agent-{number % 4 + 1}") for number in range(24)]
    # A fast evaluator: verdicts come in threes, and only the newest of them is told of.
    for start in range(0, 24, 3):
        judged = [bench.judge(each, 2.0) for each in waiting[start : start + 3]]
        bench.pulse.after(judged[-1])
    counts = [count for number in range(1, 5) for _, _, count in _of(bench, f"agent-{number}")]
    assert counts == [1, 2, 3, 4, 5, 6] * 4
    heard = {agent: bench.take(agent) for agent in ("agent-1", "agent-2", "agent-3", "agent-4")}
    assert [len(each) for each in heard.values()] == [6] * 4
    assert "You have had 3 evaluations" in heard["agent-2"][2].text, "as it was then"


def _of(bench: Any, agent: str) -> list[tuple[str, str, int]]:
    return [each for each in bench.fired() if each[1] == agent]


class Model:
    """What rules of three kinds should do, counted in the plainest way."""

    def __init__(self, every: int, plateau: int, epsilon: float, cooldown: int) -> None:
        self.every, self.plateau, self.epsilon, self.cooldown = every, plateau, epsilon, cooldown
        self.history: list[tuple[str, float | None]] = []
        self.fired: list[tuple[str, str, int]] = []

    def judged(self, agent: str, score: float | None) -> None:
        self.history.append((agent, score))
        own = [each for name, each in self.history if name == agent]
        if len(own) % self.every == 0:
            self.fired.append(("each", agent, len(own)))
        if self._stuck(own) and self._last("stuck", agent) + self.plateau <= len(own):
            self.fired.append(("stuck", agent, len(own)))
        count, last = len(self.history), self._last("both", "")
        if count // 2 > max(last, 0) // 2 and (last < 0 or count - last >= self.cooldown):
            self.fired.append(("both", "", count))

    def _stuck(self, scores: list[float | None]) -> bool:
        reference: float | None = None
        since = 0
        for score in scores:
            gain = score is not None and (
                reference is None or score - reference > self.epsilon * abs(reference)
            )
            reference, since = (score, 0) if gain else (reference, since + 1)
        return since >= self.plateau

    def _last(self, name: str, who: str) -> int:
        return max(
            (at for rule, whom, at in self.fired if (rule, whom) == (name, who)), default=-99
        )


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("judge"),
            st.sampled_from(AGENTS),
            st.sampled_from([None, 1.0, 1.004, 1.02, 1.5, 2.0, 0.5]),
        ),
        st.sampled_from([("after",), ("tick",), ("kill",), ("submit",)]),
    ),
    max_size=30,
)


@settings(max_examples=12)
@given(STEPS, st.integers(1, 4), st.integers(2, 4), st.sampled_from([0.0, 0.01]), st.integers(0, 5))
def test_every_verdict_is_counted_once_and_in_order_whatever_happens_between(
    make_bench: Any,
    steps: list[tuple[Any, ...]],
    every: int,
    plateau: int,
    epsilon: float,
    cooldown: int,
) -> None:
    """Verdicts that come together, calls that do not come, kills at any place."""
    bench = make_bench(
        rule("each", every=every),
        rule("stuck", "plateau", every=plateau, epsilon=epsilon),
        rule("both", every=2, scope="team", cooldown=cooldown),
        agents=3,
    )
    model = Model(every, plateau, epsilon, cooldown)
    newest = None
    for step in steps:
        if step[0] == "judge":
            newest = bench.judge(bench.submit(step[1]), step[2])
            model.judged(step[1], step[2])
        elif step[0] == "after" and newest is not None:
            bench.pulse.after(newest)
        elif step[0] == "tick":
            bench.tick()
        elif step[0] == "submit":
            bench.submit("agent-1")
        elif step[0] == "kill":
            bench.reopen()
    bench.tick()
    assert sorted(bench.fired()) == sorted(model.fired)
    team_rule = [each for each in model.fired if each[0] == "both"]
    for agent in AGENTS:
        own = [each for each in model.fired if each[1] == agent]
        assert len(bench.take(agent)) == len(own) + len(team_rule), "a team rule reaches everyone"
    bench.reopen()
    bench.tick()
    assert len(bench.fired()) == len(model.fired), "nothing fires twice after a resume"


@pytest.mark.parametrize("scope", ["agent", "team"])
def test_small_gains_do_not_end_a_plateau_until_they_add_up(make_bench: Any, scope: str) -> None:
    small = rule("small", "plateau", every=3, epsilon=0.01, scope=scope)
    bench = make_bench(small, rule("any", "plateau", every=3, scope=scope))
    for score in (2.0, 2.01, 2.011, 2.012):
        bench.try_one("agent-1", score)
    assert bench.fired() == [("small", "agent-1" if scope == "agent" else "", 4)]
    bench.reopen()
    bench.try_one("agent-1", 2.025)  # together more than a hundredth of 2.0
    for _ in range(2):
        bench.try_one("agent-1", 2.025)
    assert len(bench.fired()) == 1
    bench.try_one("agent-1", None)
    assert [(name, count) for name, _, count in bench.fired()[1:]] == [("small", 8), ("any", 8)]


def test_cooldowns_survive_resumes(make_bench: Any) -> None:
    bench = make_bench(rule("r", every=1, cooldown={"attempts": 3, "minutes": 10}))
    bench.try_one("agent-1", 1.0)
    bench.reopen()
    for _ in range(5):
        bench.try_one("agent-1", 1.0)
    assert bench.fired() == [("r", "agent-1", 1)]
    bench.reopen()
    bench.tick(601)
    assert bench.fired() == [("r", "agent-1", 1), ("r", "agent-1", 6)]


def test_failures_of_the_evaluator_and_duplicates_do_not_count(make_bench: Any) -> None:
    bench = make_bench(rule("r", every=2))
    first = bench.try_one("agent-1", 1.0, files={"a": b"1"})
    again = bench.submit("agent-1", files={"a": b"1"})
    assert again.duplicate_of == first.id
    bench.tick()
    assert bench.fired() == []
    bench.try_one("agent-1", None)
    assert bench.fired() == [("r", "agent-1", 2)]


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


def test_with_heartbeats_off_nothing_fires(make_bench: Any) -> None:
    bench = make_bench()
    for number in range(24):
        bench.try_one(f"agent-{number % 4 + 1}", None)
    bench.tick(86_400)
    assert bench.fired() == []


def test_a_rule_that_comes_later_counts_from_then_on(make_bench: Any) -> None:
    bench = make_bench()
    for _ in range(12):
        bench.try_one("agent-1", 1.0)
    bench.pulse.replace([_rule(rule("late", every=5))])
    bench.reopen([rule("late", every=5)])
    bench.try_one("agent-1", 1.0)
    bench.tick()
    assert bench.fired() == []
    bench.try_one("agent-1", 1.0)
    bench.try_one("agent-1", 1.0)
    assert bench.fired() == [("late", "agent-1", 15)]
    bench.pulse.replace([])
    for _ in range(7):
        bench.try_one("agent-1", 1.0)
    bench.pulse.replace([_rule(rule("late", every=5))])
    for _ in range(4):
        bench.try_one("agent-1", 1.0)
    assert [count for _, _, count in bench.fired()] == [15, 25]


def _rule(document: dict[str, Any]) -> Any:
    from harness.agents.heartbeats.config import HeartbeatRule

    return HeartbeatRule.model_validate(document)


def test_a_run_that_had_no_rules_is_not_caught_up_on(make_bench: Any) -> None:
    bench = make_bench()
    for _ in range(12):
        bench.try_one("agent-1", None)
    bench.reopen([rule("r", every=5), rule("stuck", "plateau", every=8)])
    bench.tick()
    assert [name for name, _, _ in bench.fired()] == ["stuck"], "a plateau is a plateau"
    for _ in range(3):
        bench.try_one("agent-1", None)
    assert bench.fired()[1:] == [("r", "agent-1", 15)]


def test_other_rules_are_refused_whole_and_journalled(make_bench: Any) -> None:
    bench = make_bench(rule("r", every=5))
    with pytest.raises(ConfigurationError, match="cannot be rendered"):
        bench.pulse.replace(
            [_rule(rule("x", every=1)), _rule(rule("y", every=1, prompt="{{ no }}"))]
        )
    assert [each.name for each in bench.pulse.rules] == ["r"]
    bench.pulse.replace([_rule(rule("x", every=1))])
    bench.reopen([rule("x", every=1)])
    told = [each.data["rules"] for each in bench.events(EventKind.HEARTBEATS)]
    assert [[each["name"] for each in rules] for rules in told] == [["r"], ["x"]]


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


def test_a_condition_that_fails_in_mid_run_is_told_once(make_bench: Any) -> None:
    when = "10 // (agent.evaluations - 2) < 100"
    bench = make_bench(rule("r", every=1, when=when))
    for _ in range(3):
        bench.try_one("agent-1", None)
    warnings = [each.data["text"] for each in bench.events(EventKind.WARNING)]
    assert len(warnings) == 1
    assert "the heartbeat rule 'r' counts as not met" in warnings[0]
    assert bench.fired() == [("r", "agent-1", 1), ("r", "agent-1", 3)]
