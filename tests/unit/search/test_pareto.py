"""The Pareto front, its hypervolume, and the policies that serve several objectives."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.search.searching import context, finished

from harness.attempt import Attempt, Operator, Status, Verdict
from harness.ids import AttemptId
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph
from harness.search.multi import make_search
from harness.search.pareto import MARGIN, Objective, ParetoFront, covers, hypervolume

SIZE = Objective("size", "minimize")
small = st.integers(0, 4).map(float)
points = st.lists(st.tuples(small, small), max_size=25)


def measured(number: int, score: float, size: float | None, parents: Sequence[int] = ()) -> Attempt:
    operator = Operator.IMPROVE if parents else Operator.DRAFT
    plain = finished(number, score, parents, operator=operator)
    metrics = {} if size is None else {"size": size}
    return replace(plain, verdict=Verdict(Status.SCORED, score, metrics))


@given(points)
def test_the_front_is_what_no_other_attempt_covers(values: list[tuple[float, float]]) -> None:
    front = ParetoFront("maximize", [SIZE])
    for number, (score, size) in enumerate(values):
        front.observe(AttemptId(str(number)), measured(number, score, size).verdict)
    seen = {(score, -size) for score, size in values}
    best = {p for p in seen if not any(covers(q, p) for q in seen - {p})}
    assert sorted(front.members.values()) == sorted(best)
    for each, point in front.members.items():
        assert values.index((point[0], -point[1])) == int(each), "of equals the earliest"


def test_what_lacks_a_metric_or_failed_is_not_on_the_front() -> None:
    front = ParetoFront("maximize", [SIZE])
    assert not front.observe(AttemptId("1"), measured(1, 5.0, None).verdict)
    assert not front.observe(AttemptId("2"), finished(2, None).verdict)
    assert not front.members


@given(st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=6))
def test_the_hypervolume_is_the_number_of_unit_cells_that_are_covered(
    corners: list[tuple[int, ...]],
) -> None:
    cells = {
        cell for corner in corners for cell in itertools.product(*(range(side) for side in corner))
    }
    assert hypervolume([tuple(map(float, corner)) for corner in corners]) == len(cells)


def test_each_member_of_a_front_contributes_and_an_edge_one_by_its_margin() -> None:
    front = ParetoFront("maximize", [SIZE])
    for number, (score, size) in enumerate([(0.0, 0.0), (1.0, 1.0)]):
        front.observe(AttemptId(str(number)), measured(number, score, size).verdict)
    assert list(front.contributions().values()) == [pytest.approx(MARGIN)] * 2
    for number in range(2, 90):
        size = number / 100
        front.observe(AttemptId(str(number)), measured(number, size**2, size).verdict)
    shares = front.contributions()
    assert {"0", "1"} <= set(shares), "the ends are always considered"
    assert len(shares) == 16
    assert min(shares.values()) > 0


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["weighted", "hypervolume"]), st.integers(0, 10_000))
def test_policies_for_several_objectives_keep_the_protocol(mode: str, seed: int) -> None:
    config = SearchConfig.model_validate({"objectives": mode})
    rng = random.Random(seed)
    attempts = [measured(0, 1.0, 1.0)]
    made = make_search(config, seed=0, direction="maximize", objectives=[SIZE])
    made.observe(attempts[0])
    graph = AttemptGraph("maximize", attempts)
    for number in range(1, 40):
        directive = made.next(graph, context(number, progress=number / 40))
        base = graph[directive.base]
        assert (base.score is None) == (directive.operator is Operator.DEBUG)
        assert directive.base not in directive.references
        combines = directive.operator in {Operator.FUSE, Operator.AGGREGATE}
        assert combines == bool(directive.references)
        fails = rng.random() < 0.2
        attempt = measured(number, rng.random(), rng.random(), [int(directive.base)])
        attempt = finished(number, None, [int(directive.base)]) if fails else attempt
        graph.put(attempt)
        made.observe(attempt)
        attempts.append(attempt)
    rebuilt = make_search(config, seed=0, direction="maximize", objectives=[SIZE])
    for attempt in attempts:
        rebuilt.observe(attempt)
    asked = [each.next(graph, context(41, progress=0.9)) for each in (made, rebuilt)]
    assert asked[0] == asked[1]


def bases(mode: str, weight: float) -> set[str]:
    attempts = [
        measured(0, 1.0, 10.0),
        measured(1, 9.0, 10.0, [0]),
        measured(2, 5.0, 1.0, [0]),
        measured(3, 4.0, 9.0, [0]),
    ]
    config = SearchConfig.model_validate({"objectives": mode, "branches": 1})
    objectives = [Objective("size", "minimize", weight)]
    made = make_search(config, seed=0, direction="maximize", objectives=objectives)
    for attempt in attempts:
        made.observe(attempt)
    graph = AttemptGraph("maximize", attempts)
    asked = [made.next(graph, context(n, progress=0.99)) for n in range(30, 90)]
    improved = [d.base for d in asked if d.operator in {Operator.IMPROVE, Operator.TUNE}]
    return {each for each in improved if improved.count(each) > len(improved) / 5}


def test_hypervolume_expands_the_front_and_weights_say_what_counts() -> None:
    assert bases("hypervolume", 1.0) == {"1", "2"}
    assert bases("score", 1.0) == {"1"}
    assert bases("weighted", 0.1) == {"1"}
    assert bases("weighted", 100.0) == {"2"}
