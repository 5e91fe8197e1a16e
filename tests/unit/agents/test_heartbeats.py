"""The rule engine against plain models of it: exact counts, who is reached, what is said."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.heartbeats.base import (
    AgentView,
    AttemptView,
    Firing,
    HeartbeatRule,
    Mark,
    TeamView,
)
from harness.agents.heartbeats.config import BUILT_IN
from harness.agents.heartbeats.rules import check_rules, default_rules, evaluate_rules
from harness.errors import ConfigurationError

NOW = 1_000_000.0
MINUTE = 60.0


def rule(trigger: str = "interval", /, **keys: Any) -> HeartbeatRule:
    return HeartbeatRule.model_validate({"name": "r", "trigger": trigger, "prompt": "x", **keys})


def agent(name: str = "agent-1", **keys: Any) -> AgentView:
    return AgentView(name, **keys)


def team(*agents: AgentView, **keys: Any) -> TeamView:
    return TeamView(agents=agents, **keys)


class Book:
    """Asks the rules and keeps the marks, as a run does."""

    def __init__(self, *rules: HeartbeatRule) -> None:
        self.rules = rules
        self.marks: dict[tuple[str, str], Mark] = {}

    def ask(self, seen: TeamView, now: float = NOW) -> list[Firing]:
        judged = evaluate_rules(self.rules, seen, self.marks, now)
        assert not judged.problems
        for firing in judged.firings:
            self.marks[firing.rule.name, firing.subject] = firing.mark
        # Asking twice about the same moment changes nothing.
        assert not evaluate_rules(self.rules, seen, self.marks, now).firings
        return judged.firings


def attempt(number: int, who: str = "agent-1", *, tree: str = "", at: float = 0.0) -> AttemptView:
    shown = tree or f"{number:040x}"
    return AttemptView(
        str(number), who, "improve", "scored", 1.0, "t", "0", shown, at or float(number)
    )


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


REACHED: list[tuple[str, list[str]]] = [
    ("all", ["agent-1", "agent-2", "agent-3"]),
    ("best", ["agent-2"]),
    ("worst", ["agent-3"]),
    ("stalled", ["agent-1"]),
    ("next", ["agent-1"]),
    ("agent-3", ["agent-3"]),
    ("agent-4", []),
    ("agent-9", []),
]


@pytest.mark.parametrize(("to", "reached"), REACHED)
def test_a_team_rule_reaches_every_agent_it_names(to: str, reached: list[str]) -> None:
    seen = team(
        agent(best_score=2.0, idle_s=700.0),
        agent("agent-2", best_score=3.0, idle_s=700.0, busy="verdict", busy_s=700.0),
        agent("agent-3"),
        agent("agent-4", best_score=9.0, active=False),
        evaluations=5,
    )
    fired = Book(rule(every=5, scope="team", to=to)).ask(seen)
    assert [each.agent for firing in fired for each in firing.interventions] == reached
    assert len(fired) == bool(reached), "nobody to reach: it waits"


def test_minimizing_turns_best_and_worst_around() -> None:
    agents = (agent(best_score=2.0), agent("agent-2", best_score=3.0))
    seen = team(*agents, evaluations=5, minimize=True)
    (firing,) = Book(rule(every=5, scope="team", to="best")).ask(seen)
    assert firing.targets == ("agent-1",)


def test_next_takes_turns() -> None:
    book = Book(rule(every=1, scope="team", to="next"))
    agents = tuple(agent(f"agent-{number}") for number in (1, 2, 3))
    told = [book.ask(team(*agents, evaluations=count))[0].targets[0] for count in range(1, 8)]
    assert told == [f"agent-{number}" for number in (1, 2, 3, 1, 2, 3, 1)]


def test_actions_name_whom_they_are_about() -> None:
    agents = (
        agent(best_score=1.0, focus="a lane"),
        agent("agent-2", best_score=2.0, focus="A Lane"),
        agent("agent-3", best_score=3.0),
    )
    seen = team(*agents, evaluations=5)
    told: dict[str, tuple[tuple[str, ...], int]] = {}
    for action in ("retire", "fork", "spawn", "merge", "pause", "pivot"):
        (firing,) = Book(rule(every=5, scope="team", action=action)).ask(seen)
        told[action] = (firing.targets, len(firing.interventions))
    everyone = ("agent-1", "agent-2", "agent-3")
    assert told == {
        "retire": (("agent-1",), 0),
        "fork": (("agent-3",), 0),
        "spawn": (everyone, 0),
        "merge": (("agent-1", "agent-2"), 1),
        "pause": (everyone, 3),
        "pivot": (everyone, 3),
    }


def test_a_merge_needs_two_on_one_lane() -> None:
    merge = rule(every=5, scope="team", action="merge")
    mine = [attempt(number, tree=f"{number % 3}" * 40) for number in range(3)]
    other = [attempt(number, "agent-2", tree=f"{number % 3}" * 40) for number in range(3, 6)]
    agents = (agent(best_score=5.0), agent("agent-2"))
    (firing,) = Book(merge).ask(team(*agents, evaluations=5, recent=(*mine, *other)))
    assert firing.targets == ("agent-2", "agent-1")
    apart = [attempt(number, "agent-2") for number in range(3, 6)]
    assert not Book(merge).ask(team(*agents, evaluations=5, recent=(*mine, *apart)))


def test_keys_tell_firings_apart() -> None:
    book = Book(rule(every=1), rule(name="t", every=1, scope="team"))
    keys = [
        firing.key
        for count in (1, 2)
        for firing in book.ask(
            team(
                *(agent(name, evaluations=count) for name in ("agent-1", "agent-2")),
                evaluations=count,
            )
        )
    ]
    assert keys == ["r-agent-1-1", "r-agent-2-1", "t-1", "r-agent-1-2", "r-agent-2-2", "t-2"]


def test_a_condition_that_cannot_be_decided_is_told_and_not_met() -> None:
    asked = rule(every=1, when="agent.best_score > 1")
    judged = evaluate_rules([asked], team(agent(evaluations=1)), {}, NOW)
    assert not judged.firings
    assert "'>' not supported" in judged.problems["r"]
    with pytest.raises(ConfigurationError, match="cannot be decided"):
        check_rules([asked])


@pytest.mark.parametrize(
    "when",
    ["agent.nothing", "nothing > 1", "1 +", "{{ x }}", "team.evaluations // 0", "().__class__"],
)
def test_a_broken_condition_is_a_mistake_at_the_start(when: str) -> None:
    with pytest.raises(ConfigurationError, match="condition of the heartbeat rule 'r'"):
        check_rules([rule(every=1, when=when)])


def test_a_team_rule_s_condition_knows_no_agent() -> None:
    with pytest.raises(ConfigurationError, match="'agent' is undefined"):
        check_rules([rule(every=1, scope="team", when="agent.evaluations > 1")])


@pytest.mark.parametrize(
    "prompt",
    [
        "a set {1, 2} is fine, but {{ this is not",
        "{% for %}",
        "{{ unknown }}",
        "{{ agent.no_such_field }}",
        "{{ '%.3f' | format(agent.best_score) }}",  # fails while there is no score
        "{{ 1 // 0 }}",
        "{{ agent.__class__.__mro__[1].__subclasses__() }}",
        "{{ ().__class__.__base__ }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_broken_template_is_a_mistake_at_the_start(prompt: str) -> None:
    mine = rule(every=1, prompt=prompt, name="mine")
    with pytest.raises(ConfigurationError, match="'mine' cannot be rendered"):
        check_rules([mine])
    # And it never ends a run, wherever it came from.
    (said,) = Book(mine).ask(team(agent(evaluations=1)))[0].interventions
    assert said.text == "[heartbeat: mine]\n1 evaluations, a heartbeat every 1."


@pytest.mark.parametrize("prompt", ['Append {"score": x}', "a dict {'a': 1}", "{", "}}", "{0} %s"])
def test_single_braces_are_ordinary_text(prompt: str) -> None:
    check_rules([rule(every=1, prompt=prompt)])
    (said,) = Book(rule(every=1, prompt=prompt)).ask(team(agent(evaluations=1)))[0].interventions
    assert said.text == prompt


@given(st.text(), st.integers(0, 20), st.integers(0, 20))
def test_no_text_of_a_user_ends_a_run(prompt: str, evaluations: int, since: int) -> None:
    seen = team(agent(evaluations=evaluations, since_improvement=since))
    fired = Book(rule(every=1, prompt=prompt)).ask(seen)
    assert len(fired) == (evaluations > 0)


def test_own_text_is_rendered_with_agent_team_rule_reason_and_key() -> None:
    text = "{{ rule.name }} {{ agent.last_title }} {{ team.best_agent }} {{ reason }} {{ key }}"
    mine = rule(every=1, prompt=text)
    check_rules([mine])
    seen = team(agent(evaluations=1, last_title="a title"), best_agent="agent-2")
    (said,) = Book(mine).ask(seen)[0].interventions
    assert said.text == "r a title agent-2 1 evaluations, a heartbeat every 1 r-agent-1-1"


def test_a_rule_without_any_message_and_two_of_one_name_are_mistakes() -> None:
    with pytest.raises(ConfigurationError, match="no shipped message"):
        check_rules([rule(every=1, prompt=None)])
    with pytest.raises(ConfigurationError, match="two heartbeat rules"):
        check_rules([*default_rules(), default_rules()[0]])
    check_rules([rule(every=1, prompt=None, action="restart")])
    (said,) = (
        Book(rule(every=1, prompt=None, action="restart"))
        .ask(team(agent(evaluations=1)))[0]
        .interventions
    )
    assert said.action == "restart"
    assert said.text.endswith("Your conversation starts again from a summary.")


def test_a_folder_s_template_stands_in_for_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "heartbeat_reflect.md.j2").write_text("MINE {{ agent.agent }}", encoding="utf-8")
    (tmp_path / "heartbeat_own.md.j2").write_text("OWN", encoding="utf-8")
    rules = [HeartbeatRule.model_validate("reflect"), rule(name="own", every=1, prompt=None)]
    check_rules(rules, [tmp_path])
    seen = team(agent(evaluations=5))
    judged = evaluate_rules(rules, seen, {}, NOW, folders=[tmp_path])
    assert [f.interventions[0].text for f in judged.firings] == ["MINE agent-1", "OWN"]


# The built-in rules: each fires for its own reason, and says something about whom it reaches.

RECENT = tuple(attempt(number, f"agent-{number % 2 + 1}", tree="a" * 40) for number in range(30))
BEST = {"best_score": 2.5, "best_attempt": "7", "best_agent": "agent-2"}
PAIR = (agent(best_score=1.5), agent("agent-2", best_score=2.5, focus="hexagons"))


def pair(**first: Any) -> tuple[AgentView, AgentView]:
    return replace(PAIR[0], **first), PAIR[1]


REASONS: list[tuple[str, TeamView, Sequence[str], str]] = [
    (
        "reflect",
        team(*pair(evaluations=5), **BEST),
        ["agent-1"],
        "You have had 5 evaluations; your best score is 1.5, the team's 2.5 (attempt 7).",
    ),
    (
        "consolidate",
        team(*PAIR, evaluations=20, **BEST),
        ["agent-1"],
        "had 20 evaluations; the best",
    ),
    (
        "pivot",
        team(*pair(evaluations=9, since_improvement=8), **BEST),
        ["agent-1"],
        "Your last 8 evaluations brought no personal best (it is 1.5).",
    ),
    (
        "refocus",
        team(*pair(idle_s=601.0, operator="improve", base="3"), **BEST),
        ["agent-1"],
        "10 min without a model or tool event",
    ),
    (
        "diversify",
        team(*PAIR, recent=RECENT, **BEST),
        ["agent-1", "agent-2"],
        "11 of the last 12 attempts are near-copies",
    ),
    ("lint", team(*PAIR, evaluations=50, **BEST), ["agent-1"], "look after the memory"),
    (
        "wrap_up",
        team(*PAIR, budget_used=0.9, limits="x", evaluations_left=3, **BEST),
        ["agent-1", "agent-2"],
        "90% of the budget is used; the whole team has 3 evaluations left.",
    ),
    (
        "dream",
        team(*PAIR, evaluations=40, since_improvement=24, recent=RECENT, **BEST),
        ["agent-2"],
        "- attempt 29, improve of 0, score 1: “t”",
    ),
]


def test_all_built_in_rules_are_looked_at_here() -> None:
    check_rules(default_rules())
    assert [name for name, *_ in REASONS] == list(BUILT_IN)


@pytest.mark.parametrize(("name", "seen", "told", "text"), REASONS, ids=list(BUILT_IN))
def test_a_built_in_rule_fires_for_its_own_reason(
    name: str, seen: TeamView, told: Sequence[str], text: str
) -> None:
    built_in = HeartbeatRule.model_validate(name)
    firings = Book(built_in).ask(seen)
    interventions = [each for firing in firings for each in firing.interventions]
    assert [each.agent for each in interventions] == told
    assert interventions[0].text.startswith(f"[heartbeat: {name}]\n")
    assert text in interventions[0].text
    assert "\n\n\n" not in interventions[0].text
    assert len(interventions[0].text) < 4000
    # And not before: the same team without what it looks at.
    calm = team(*(agent(each.agent) for each in seen.agents))
    assert not Book(built_in).ask(calm)


def test_the_default_rules_leave_a_calm_team_alone() -> None:
    seen = team(agent(evaluations=4, since_improvement=7), agent("agent-2"), evaluations=19)
    assert not Book(*default_rules()).ask(seen)
