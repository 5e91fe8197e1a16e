"""The islands policy: cells keep the best of their kind, islands send their best to the next."""

from dataclasses import replace

import pytest
from tests.unit.search.searching import context, finished

from harness.attempt import Attempt, Operator, Status, Verdict
from harness.ids import SEED_ATTEMPT, AttemptId
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph
from harness.search.islands import IslandsPolicy


def with_metric(attempt: Attempt, size: float, directive: int) -> Attempt:
    verdict = Verdict(Status.SCORED, attempt.score, {"size": size})
    return replace(attempt, verdict=verdict, directive=directive)


def test_a_cell_of_an_island_keeps_the_best_of_its_kind_whatever_the_others_score() -> None:
    config = SearchConfig(islands=1, bins=2, descriptors=["metric:size"], branches=1)
    seed = with_metric(finished(0, 1.0, operator=Operator.DRAFT), 0.0, 0)
    small = [with_metric(finished(n, 10.0 + n, [0]), 1.0, n) for n in range(1, 5)]
    large = with_metric(finished(5, 0.5, [0]), 10.0, 5)
    made = IslandsPolicy(seed=0, direction="maximize", config=config)
    for attempt in (seed, *small, large):
        made.observe(attempt)
    graph = AttemptGraph("maximize", [seed, *small, large])
    asked = [made.next(graph, context(n, progress=0.9)) for n in range(10, 200)]
    assert {d.base for d in asked if d.operator is not Operator.DRAFT} == {"4", "5"}


def test_the_best_of_an_island_settles_on_the_next_after_so_many_attempts() -> None:
    seed = finished(0, 1.0, operator=Operator.DRAFT)
    of_first = [replace(finished(n, 1.0 + n, [0]), directive=2 * n) for n in range(1, 4)]
    graph = AttemptGraph("maximize", [seed, *of_first])

    def bases_on_second(migration: int) -> set[AttemptId]:
        config = SearchConfig(islands=2, migration=migration, descriptors=["generation"])
        made = IslandsPolicy(seed=0, direction="maximize", config=config)
        for attempt in (seed, *of_first):
            made.observe(attempt)
        return {made.next(graph, context(n, progress=1.0)).base for n in range(41, 200, 2)}

    assert bases_on_second(3) == {SEED_ATTEMPT, AttemptId("3")}
    assert bases_on_second(4) == {SEED_ATTEMPT}


def test_an_unknown_descriptor_is_refused() -> None:
    with pytest.raises(ValueError, match="pattern"):
        SearchConfig(descriptors=["colour"])
