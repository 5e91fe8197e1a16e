"""Triggers of heartbeat rules against plain models of them: exact counts, and why they fire."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.agents.rulebook import MINUTE, NOW, Book, agent, attempt, rule, team

from harness.agents.heartbeats.base import AttemptView


def counts(steps: Iterable[int]) -> list[int]:
    seen = 0
    return [seen := seen + step for step in steps]


@given(st.integers(1, 10), st.lists(st.integers(0, 25), max_size=40), st.booleans())
def test_an_interval_fires_once_for_each_multiple_reached(
    every: int, steps: list[int], of_team: bool
) -> None:
    book = Book(rule(every=every, scope="team" if of_team else "agent"))
    fired = [
        count
        for count in counts(steps)
        if book.ask(team(agent(evaluations=count), evaluations=count))
    ]
    expected: list[int] = []
    reached = 0
    for count in counts(steps):
        if count // every > reached:
            reached = count // every
            expected.append(count)
    assert fired == expected
    if steps and max(steps) <= every:
        assert len(fired) == sum(steps) // every, "no multiple is lost when none is jumped over"


@given(st.integers(1, 6), st.lists(st.booleans(), max_size=60))
def test_a_plateau_fires_after_n_and_again_after_n_more(every: int, improved: list[bool]) -> None:
    book = Book(rule("plateau", every=every))
    since, fired, expected = 0, list[int](), list[int]()
    for count, gain in enumerate(improved, 1):
        since = 0 if gain else since + 1
        if since and since % every == 0:
            expected.append(count)
        if book.ask(team(agent(evaluations=count, since_improvement=since))):
            fired.append(count)
    assert fired == expected


@given(
    st.integers(1, 5),
    st.integers(0, 12),
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60),
)
def test_what_is_held_back_by_cooldown_or_condition_is_not_lost(
    every: int, cooldown: int, steps: list[tuple[int, bool]]
) -> None:
    """Against a model that knows only which multiple was answered last, and when."""
    book = Book(rule(every=every, cooldown=cooldown, when="team.budget_used > 0.5"))
    count, last, last_at = 0, 0, -(10**9)
    for step, holds in steps:
        count += step
        due = count // every > last // every
        expected = due and count - last_at >= cooldown and holds
        seen = team(agent(evaluations=count), budget_used=0.9 if holds else 0.1)
        assert bool(book.ask(seen)) == expected
        if expected:
            last = last_at = count


@given(st.lists(st.integers(0, 240), max_size=40))
def test_a_cooldown_in_minutes_is_kept(pauses: list[int]) -> None:
    book = Book(rule(every=1, cooldown={"minutes": 2}))
    now, last = NOW, -1e9
    for count, pause in enumerate(pauses, 1):
        now += pause
        expected = now - last >= 2 * MINUTE
        assert bool(book.ask(team(agent(evaluations=count)), now)) == expected
        if expected:
            last = now


@given(st.lists(st.integers(0, 2), max_size=24))
def test_reflect_every_1_of_four_agents_with_24_evaluations_is_said_24_times(
    order: list[int],
) -> None:
    """Whoever is evaluated, and whatever the others do: one reflection for each evaluation."""
    book = Book(rule(every=1))
    had = {f"agent-{number}": 0 for number in range(1, 5)}
    said: list[str] = []
    turns = [*(f"agent-{each + 1}" for each in order), *["agent-4"] * (24 - len(order))]
    for who in turns:
        had[who] += 1
        firings = book.ask(team(*(agent(name, evaluations=count) for name, count in had.items())))
        said += [each.agent for firing in firings for each in firing.interventions]
    assert said == turns


def test_a_silence_counts_from_the_last_submission_and_from_the_last_firing() -> None:
    book = Book(rule("silence", minutes=30))
    assert not book.ask(team(agent(silent_s=29 * MINUTE)))
    (firing,) = book.ask(team(agent(silent_s=30 * MINUTE)))
    assert firing.reason == "30 min without a submission"
    assert not book.ask(team(agent(silent_s=59 * MINUTE)), NOW + 29 * MINUTE)
    assert book.ask(team(agent(silent_s=60 * MINUTE)), NOW + 30 * MINUTE)
    assert not book.ask(team(agent(silent_s=5 * MINUTE)), NOW + 99 * MINUTE)


@pytest.mark.parametrize(
    ("busy", "limit_s", "stalled"),
    [
        ("", None, True),
        ("verdict", None, False),
        ("paused", None, False),
        ("model", 3600.0, False),
        ("command", 3600.0, False),
        ("model", 300.0, True),
        ("command", 120.0, True),
    ],
)
def test_stalled_is_told_from_busy(busy: Any, limit_s: float | None, stalled: bool) -> None:
    seen = agent(idle_s=15 * MINUTE, busy=busy, busy_s=15 * MINUTE, busy_limit_s=limit_s)
    fired = Book(rule("stall", minutes=10)).ask(team(seen))
    assert bool(fired) == stalled
    if stalled and busy:
        assert fired[0].reason.startswith(f"15 min in one {busy}, its limit is ")
    elif stalled:
        assert fired[0].reason == "15 min without a model or tool event"


def test_who_has_left_neither_stalls_nor_is_told_anything() -> None:
    gone = agent(idle_s=1e6, silent_s=1e6, evaluations=9, active=False)
    rules = [rule("stall", minutes=1), rule("silence", minutes=1), rule(every=1)]
    for each in rules:
        assert not Book(each).ask(team(gone))
    assert not Book(rule(every=1, scope="team")).ask(team(gone, evaluations=9))


def test_a_burst_of_crashes_fires_once() -> None:
    book = Book(rule("crashes", every=3, minutes=10))
    assert not book.ask(team(agent(crash_ages=(700.0, 300.0, 1.0))))
    (firing,) = book.ask(team(agent(crash_ages=(300.0, 200.0, 1.0))))
    assert firing.reason == "3 crashes within 10 min"
    later = (360.0, 260.0, 61.0, 30.0, 20.0)
    assert not book.ask(team(agent(crash_ages=later)), NOW + 60)
    assert book.ask(team(agent(crash_ages=(*later, 10.0))), NOW + 60)


def test_a_budget_fires_once_for_the_budgets_in_force() -> None:
    book = Book(rule("budget", fraction=0.9))
    views = [(0.5, "100"), (0.89, "100"), (0.95, "100"), (1.0, "100"), (0.5, "200"), (0.9, "200")]
    fired = [
        bool(book.ask(team(agent(), agent("agent-2"), budget_used=used, limits=limits)))
        for used, limits in views
    ]
    assert fired == [False, False, True, False, False, True]
    # A newcomer is told as well.
    seen = team(agent(), agent("agent-3"), budget_used=0.95, limits="200")
    assert [firing.subject for firing in book.ask(seen)] == ["agent-3"]


def test_convergence_fires_for_near_copies_and_not_again_before_n_new_attempts() -> None:
    book = Book(rule("convergence", every=4, threshold=0.6, scope="team"))
    apart = tuple(attempt(number) for number in range(1, 9))
    assert not book.ask(team(agent(), recent=apart))
    same = tuple(attempt(number, tree="a" * 40) for number in range(10, 13))
    (firing,) = book.ask(team(agent(), recent=(*apart, *same)), 12.0)
    assert firing.reason == "2 of the last 4 attempts are near-copies of one before them"
    more = tuple(attempt(number, tree="a" * 40) for number in range(13, 17))
    for known in range(4):
        assert not book.ask(team(agent(), recent=(*same, *more[:known])), 100.0)
    assert book.ask(team(agent(), recent=(*same, *more)), 100.0)


def test_convergence_uses_the_similarity_it_is_given() -> None:
    recent = tuple(attempt(number) for number in range(1, 5))

    def alike(left: AttemptView, right: AttemptView) -> float:
        return 0.7

    seen = team(agent(), recent=recent, alike=alike)
    assert not Book(rule("convergence", every=4, scope="team")).ask(seen)
    assert Book(rule("convergence", every=4, scope="team", similarity=0.7)).ask(seen)
