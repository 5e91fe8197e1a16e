"""What holds for every built-in policy, on graphs made of real attempts."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.search.searching import CONFIG, context, finished, policy, scores, started

from harness.attempt import Operator
from harness.errors import ConfigurationError
from harness.ids import AttemptId
from harness.search.base import Directive, SearchPolicy
from harness.search.graph import AttemptGraph
from harness.search.policies import BUILT_IN, make_policy


def grow(
    made: SearchPolicy,
    graph: AttemptGraph,
    outcomes: Sequence[float | None],
    *,
    pending: int = 0,
) -> list[Directive]:
    """Let `made` run a search in which the k-th directive ends with the k-th outcome.

    `pending` directives are under way before the first outcome arrives.
    """
    directives: list[Directive] = []
    waiting: list[Directive] = []
    for index, _ in enumerate(outcomes):
        bases = [d.base for d in waiting]
        progress = index / len(outcomes)
        directive = made.next(graph, context(index + 1, progress=progress, in_flight=bases))
        directives.append(directive)
        waiting.append(directive)
        while len(waiting) > (pending if index + 1 < len(outcomes) else 0):
            done = waiting.pop(0)
            attempt = finished(
                len(graph),
                outcomes[done.number - 1],
                [int(done.base)],
                [int(r) for r in done.references],
                done.operator,
            )
            graph.put(attempt)
            made.observe(attempt)
    return directives


names = st.sampled_from(sorted(BUILT_IN))


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_policies_are_found_by_name_and_by_path(name: str) -> None:
    by_name = make_policy(name, seed=0, direction="maximize", config=CONFIG)
    by_path = make_policy(BUILT_IN[name], seed=0, direction="maximize", config=CONFIG)
    assert type(by_name) is type(by_path)


@pytest.mark.parametrize("name", ["gredy", "harness.search.nowhere:Policy", "harness.search:Nope"])
def test_an_unknown_policy_is_the_users_mistake(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_policy(name, seed=0, direction="maximize", config=CONFIG)
    assert name in caught.value.wrong
    if ":" not in name:
        assert all(known in caught.value.expected for known in BUILT_IN)


@settings(deadline=None, max_examples=15)
@given(names, st.lists(scores, min_size=1, max_size=40), st.integers(0, 5))
def test_a_policy_rebuilt_from_finished_attempts_goes_on_the_same(
    name: str, outcomes: list[float | None], pending: int
) -> None:
    made, graph = started(name)
    grow(made, graph, outcomes, pending=pending)
    rebuilt = policy(name, list(graph), "maximize")
    for progress in (0.05, 0.5, 0.95):
        asked = context(len(outcomes) + 1, progress=progress)
        again = context(len(outcomes) + 1, progress=progress)
        assert made.next(graph, asked) == rebuilt.next(graph, again)


@settings(deadline=None, max_examples=15)
@given(names, st.lists(scores, min_size=1, max_size=60), st.integers(0, 5))
def test_every_directive_can_be_carried_out(
    name: str, outcomes: list[float | None], pending: int
) -> None:
    made, graph = started(name)
    for number, directive in enumerate(grow(made, graph, outcomes, pending=pending), start=1):
        assert directive.number == number
        base = graph[directive.base]
        assert (base.score is None) == (directive.operator is Operator.DEBUG)
        assert directive.base not in directive.references
        assert len(set(directive.references)) == len(directive.references)
        assert all(graph[r].score is not None for r in directive.references)
        combines = directive.operator in {Operator.FUSE, Operator.AGGREGATE}
        assert combines == bool(directive.references)
        assert directive.reason.endswith(".")


def test_greedy_expands_the_best_and_random_expands_anything() -> None:
    attempts = [finished(0, 1.0), *(finished(n, float(n % 7), [0]) for n in range(1, 40))]
    graph = AttemptGraph("minimize", attempts)
    greedy = policy("greedy", attempts, "minimize")
    assert graph.best is not None
    assert graph[greedy.next(graph, context(41)).base].score == graph.best.score
    uniform = policy("random", [*attempts, finished(40, None, [0])], "minimize")
    drawn = {uniform.next(graph, context(n)).base for n in range(1, 600)}
    assert drawn == {a.id for a in attempts}


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_what_is_to_be_avoided_is_avoided_while_anything_else_is_there(name: str) -> None:
    attempts = [finished(n, float(n), [0] if n else []) for n in range(6)]
    graph = AttemptGraph("maximize", attempts)
    made = policy(name, attempts, "maximize")
    for number in range(1, 60):
        asked = context(number, progress=0.99, avoid=[AttemptId("5")])
        assert made.next(graph, asked).base != "5"
    everything = [a.id for a in attempts]
    assert made.next(graph, context(1, avoid=everything)).base in everything
