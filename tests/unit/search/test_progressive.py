"""The progressive policy: from broad to focused, and operators when the state calls for them."""

import math
import random
from collections.abc import Mapping, Sequence
from itertools import pairwise

from tests.unit.search.searching import CONFIG, context, finished

from harness.attempt import Attempt, Operator
from harness.ids import SEED_ATTEMPT, AttemptId
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph
from harness.search.progressive import ProgressivePolicy


def progressive(attempts: Sequence[Attempt], config: SearchConfig = CONFIG) -> ProgressivePolicy:
    made = ProgressivePolicy(seed=0, direction="maximize", config=config)
    for attempt in attempts:
        made.observe(attempt)
    return made


def entropy(chances: Mapping[AttemptId, float]) -> float:
    return -sum(p * math.log(p) for p in chances.values() if p > 0)


def wide(count: int = 400) -> list[Attempt]:
    """Three lines with scores all over the place."""
    rng = random.Random(3)
    attempts = [finished(0, 0.0, operator=Operator.DRAFT)]
    attempts += [finished(n, rng.random(), [0], operator=Operator.DRAFT) for n in (1, 2, 3)]
    attempts += [finished(n, rng.random() * 10, [rng.randrange(1, n)]) for n in range(4, count)]
    return attempts


def test_selection_goes_from_broad_to_focused() -> None:
    made = progressive(wide(), SearchConfig(patience=0.001))  # in stagnation all the time
    course = [entropy(made.distribution(p / 20)) for p in range(2, 21)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(course))
    assert course[0] > 1.5
    assert course[-1] < 0.7
    chances = made.distribution(1.0)
    assert math.isclose(sum(chances.values()), 1.0)
    assert max(chances.values()) > 0.75


def test_selection_narrows_while_the_best_gets_better_and_widens_when_it_does_not() -> None:
    improving = [*wide(), finished(400, 99.0, [1])]
    course: list[float] = []
    for fruitless in range(0, 400, 40):
        stuck = [finished(401 + n, 0.5, [1]) for n in range(fruitless)]
        course.append(entropy(progressive([*improving, *stuck]).distribution(0.5)))
    assert all(later >= earlier - 0.05 for earlier, later in pairwise(course))
    assert course[-1] > 2.0 * course[0]


def test_fusing_begins_with_the_best_when_something_differs_from_it() -> None:
    attempts = [
        finished(0, 1.0, operator=Operator.DRAFT),
        finished(1, 5.0, [0], operator=Operator.DRAFT),
        finished(2, 9.0, [0], operator=Operator.DRAFT),
    ]
    graph = AttemptGraph("maximize", attempts)
    made = progressive(attempts)
    asked = [made.next(graph, context(n, progress=0.5)) for n in range(1, 400)]
    assert {(d.base, d.references) for d in asked if d.operator is Operator.FUSE} == {
        (AttemptId("2"), (AttemptId("1"),))
    }


def test_the_temperature_follows_the_stated_schedule() -> None:
    made = progressive(wide())
    assert [made.focus(p) for p in (0.0, CONFIG.focus_from, CONFIG.focus_until, 1.0)] == [
        0,
        0,
        1,
        1,
    ]
    middle = (CONFIG.focus_from + CONFIG.focus_until) / 2
    assert math.isclose(made.focus(middle), 0.5)
    assert math.isclose(made.temperature(1.0), CONFIG.focus)
    assert made.temperature(0.0) == CONFIG.breadth


def test_a_small_budget_gets_a_narrow_front_and_few_drafts() -> None:
    few, many = progressive(wide(12)), progressive(wide(12))
    assert few.temperature(0.1) < many.temperature(0.001)
    seed = finished(0, 1.0, operator=Operator.DRAFT)
    graph = AttemptGraph("maximize", [seed])
    operators = [progressive([seed]).next(graph, context(1, progress=1 / n)) for n in (15, 5000)]
    assert [d.operator for d in operators] == [Operator.DRAFT, Operator.DRAFT]
    one_draft = context(2, progress=1 / 15, in_flight=[SEED_ATTEMPT])
    assert progressive([seed]).next(graph, one_draft).operator is not Operator.DRAFT
    one_of_three = context(2, progress=1 / 5000, in_flight=[SEED_ATTEMPT])
    assert progressive([seed]).next(graph, one_of_three).operator is Operator.DRAFT


def test_rescaling_the_scores_changes_nothing() -> None:
    plain = wide(80)
    scaled = [
        finished(int(a.id), a.score * 1e6 - 7.0, [int(p) for p in a.parents], operator=a.operator)
        for a in plain
        if a.score is not None
    ]
    left, right = progressive(plain), progressive(scaled)
    for number in range(1, 30):
        asked = [context(number, progress=number / 30) for _ in range(2)]
        assert left.next(AttemptGraph("maximize", plain), asked[0]) == right.next(
            AttemptGraph("maximize", scaled), asked[1]
        )


def operators_after(attempts: Sequence[Attempt], progress: float) -> set[Operator]:
    graph = AttemptGraph("maximize", attempts)
    made = progressive(attempts)
    return {made.next(graph, context(n, progress=progress)).operator for n in range(1, 400)}


def test_a_failure_is_debugged_to_a_bounded_depth_and_then_given_up() -> None:
    attempts = [
        finished(0, 1.0, operator=Operator.DRAFT),
        finished(1, None, [0], operator=Operator.DRAFT),
    ]
    for depth in range(CONFIG.debug_depth):
        graph = AttemptGraph("maximize", attempts)
        made = progressive(attempts)
        directives = [made.next(graph, context(n, progress=0.4)) for n in range(1, 200)]
        assert {d.base for d in directives if d.operator is Operator.DEBUG} == {str(depth + 1)}
        attempts.append(finished(depth + 2, None, [depth + 1], operator=Operator.DEBUG))
    assert Operator.DEBUG not in operators_after(attempts, 0.4)


def test_operators_come_when_the_state_calls_for_them() -> None:
    line = [
        finished(0, 1.0, operator=Operator.DRAFT),
        finished(1, 2.0, [0], operator=Operator.DRAFT),
    ]
    assert operators_after(line, 0.3) == {Operator.IMPROVE}
    assert Operator.TUNE in operators_after(line, 0.9)
    stagnant = line + [finished(n, 0.5, [1]) for n in range(2, 30)]
    assert {Operator.EVOLVE, Operator.AGGREGATE, Operator.FUSE} <= operators_after(stagnant, 0.5)


def test_references_from_other_lines_come_before_near_relatives() -> None:
    attempts = [
        finished(0, 1.0, operator=Operator.DRAFT),
        finished(1, 5.0, [0], operator=Operator.DRAFT),
        finished(2, 5.1, [0], operator=Operator.DRAFT),
        finished(3, 9.0, [1]),
        finished(4, 5.2, [1]),
    ]
    graph = AttemptGraph("maximize", attempts)
    made = progressive(attempts)
    fused = [made.next(graph, context(n, progress=0.95)) for n in range(1, 1500)]
    taken = [d.references[0] for d in fused if d.operator is Operator.FUSE and d.base == "3"]
    assert taken.count(AttemptId("2")) > taken.count(AttemptId("4")) > 0
    assert not {"0", "1", "3"} & set(taken)


def test_a_large_graph_keeps_selection_bounded() -> None:
    attempts = wide(1000)
    made = progressive(attempts)
    chances = made.distribution(0.2)
    lines = 3
    assert len(chances) <= CONFIG.front + lines
    assert math.isclose(sum(chances.values()), 1.0)
