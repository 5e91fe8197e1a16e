"""Heartbeats in a run: exact counts whatever comes together or is killed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.run.heartbeat_rules import AGENTS, rule


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


def test_with_heartbeats_off_nothing_fires(make_bench: Any) -> None:
    bench = make_bench()
    for number in range(24):
        bench.try_one(f"agent-{number % 4 + 1}", None)
    bench.tick(86_400)
    assert bench.fired() == []
