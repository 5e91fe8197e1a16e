"""Rewards, the front and the policies, on graphs made of real attempts."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.attempt import Attempt, Direction, Operator, Status, Verdict, better
from harness.errors import ConfigurationError
from harness.ids import SEED_AGENT, SEED_ATTEMPT, AgentId, AttemptId, CommitHash, TreeHash
from harness.search.base import Directive, SearchContext, SearchPolicy, directive_rng
from harness.search.config import SearchConfig
from harness.search.front import Front
from harness.search.graph import AttemptGraph
from harness.search.islands import IslandsPolicy
from harness.search.policies import BUILT_IN, make_policy
from harness.search.progressive import ProgressivePolicy
from harness.search.reward import Rewards

CONFIG = SearchConfig()
AGENT = AgentId("agent-1")


def finished(
    number: int,
    score: float | None,
    parents: Sequence[int] = (),
    references: Sequence[int] = (),
    operator: Operator = Operator.IMPROVE,
    status: Status | None = None,
) -> Attempt:
    """A finished attempt: scored, or failed when it has no score."""
    status = status or (Status.SCORED if score is not None else Status.FAILED)
    return Attempt(
        id=AttemptId(str(number)),
        commit=CommitHash("0" * 40),
        tree=TreeHash(f"{number:040x}"),
        agent=AGENT if parents else SEED_AGENT,
        operator=operator,
        parents=tuple(AttemptId(str(p)) for p in parents),
        references=tuple(AttemptId(str(r)) for r in references),
        title="",
        status=status,
        created_at=float(number),
        verdict=Verdict(status, score),
    )


def context(
    number: int,
    *,
    progress: float = 0.5,
    in_flight: Sequence[AttemptId] = (),
    avoid: Sequence[AttemptId] = (),
    seed: int = 0,
) -> SearchContext:
    return SearchContext(number, progress, AGENT, in_flight, avoid, directive_rng(seed, number))


def policy(name: str, attempts: Sequence[Attempt], direction: Direction) -> SearchPolicy:
    made = make_policy(name, seed=0, direction=direction, config=CONFIG)
    for attempt in attempts:
        made.observe(attempt)
    return made


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


def started(name: str, direction: Direction = "maximize") -> tuple[SearchPolicy, AttemptGraph]:
    seed = finished(0, 1.0, operator=Operator.DRAFT)
    return policy(name, [seed], direction), AttemptGraph(direction, [seed])


scores = st.one_of(st.none(), st.floats(-100, 100).map(lambda x: round(x, 1)))
names = st.sampled_from(sorted(BUILT_IN))


# Rewards


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=30))
def test_a_better_score_never_gets_a_lower_rank_in_either_direction(values: list[float]) -> None:
    for direction in ("maximize", "minimize"):
        rewards = Rewards(direction)
        for number, value in enumerate(values):
            rewards.observe(finished(number, value))
        for left in values:
            for right in values:
                if better(direction, left, right):
                    assert rewards.rank(left) > rewards.rank(right)
                if left == right:
                    assert rewards.rank(left) == rewards.rank(right)


def test_an_outlier_does_not_move_the_ranks_of_the_others() -> None:
    plain, spoilt = Rewards("maximize"), Rewards("maximize")
    for number, value in enumerate([1.0, 2.0, 3.0, 4.0]):
        plain.observe(finished(number, value))
        spoilt.observe(finished(number, 1e300 if value == 4.0 else value))
    assert [plain.rank(v) for v in (1.0, 2.0, 3.0)] == [spoilt.rank(v) for v in (1.0, 2.0, 3.0)]


def test_failures_are_rewarded_below_every_score() -> None:
    rewards = Rewards("minimize")
    worst = [rewards.observe(finished(n, float(n))) for n in range(5)]
    assert rewards.observe(finished(5, None)) == 0.0
    assert all(reward is not None and reward > 0.0 for reward in worst)


@pytest.mark.parametrize(
    "status", [Status.CANCELLED, Status.EVALUATOR_ERROR, Status.SANDBOX_LOST, Status.DUPLICATE]
)
def test_ends_that_are_not_the_candidates_doing_teach_nothing(status: Status) -> None:
    rewards = Rewards("maximize")
    rewards.observe(finished(0, 1.0))
    before = rewards.value(SEED_ATTEMPT)
    assert rewards.observe(finished(1, None, [0], status=status)) is None
    assert rewards.value(SEED_ATTEMPT) == before
    made, graph = started("progressive")
    twin, _ = started("progressive")
    graph.put(attempt := finished(1, None, [0], status=status))
    made.observe(attempt)
    assert made.next(graph, context(2)) == twin.next(graph, context(2))


def test_rewards_reach_parents_more_than_references_and_fade_with_distance() -> None:
    rewards = Rewards("maximize")
    for attempt in (
        finished(0, 1.0),
        finished(1, 1.0, [0]),
        finished(2, 1.0, [0]),
        finished(3, 2.0, [1], [2]),
    ):
        rewards.observe(attempt)
    weights = {n: rewards.weight(AttemptId(str(n))) for n in range(4)}
    assert weights[3] == 1.0
    assert weights[1] - 1.0 > weights[2] - 1.0 > 0.0
    assert rewards.value(AttemptId("1")) > rewards.value(AttemptId("2"))


def test_back_propagation_stops_where_nothing_is_left_to_give() -> None:
    rewards = Rewards("maximize")
    for number in range(200):
        rewards.observe(finished(number, float(number), [number - 1] if number else []))
    before = rewards.weight(SEED_ATTEMPT)
    rewards.observe(finished(200, 200.0, [199]))
    assert rewards.weight(SEED_ATTEMPT) == before
    assert rewards.weight(AttemptId("199")) > 1.0


def test_expansions_under_way_count_as_failures() -> None:
    rewards = Rewards("maximize")
    rewards.observe(finished(0, 1.0))
    values = [rewards.value(SEED_ATTEMPT, [SEED_ATTEMPT] * n) for n in range(4)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


# The front


@given(st.lists(scores, max_size=40), st.integers(1, 8), st.sampled_from(["maximize", "minimize"]))
def test_the_front_holds_the_best_distinct_scores_in_order(
    values: list[float | None], capacity: int, direction: Direction
) -> None:
    front = Front(direction, capacity)
    best: float | None = None
    for number, value in enumerate(values):
        is_best = front.observe(finished(number, value))
        assert is_best == (value is not None and (best is None or better(direction, value, best)))
        best = value if is_best else best
    distinct = sorted({v for v in values if v is not None}, reverse=direction == "maximize")
    held = [values[int(group[0])] for group in front.groups()]
    assert held == distinct[:capacity]


# Policies


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


# Progressive


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


# Islands


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
