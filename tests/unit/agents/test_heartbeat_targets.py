"""Whom a heartbeat rule reaches, whom its action is about, and how firings are told apart."""

import pytest
from tests.unit.agents.rulebook import Book, agent, attempt, rule, team

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
