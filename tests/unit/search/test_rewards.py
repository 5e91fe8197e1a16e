"""What attempts are worth: ranks, what reaches parents and references, what teaches nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.search.searching import context, finished, started

from harness.attempt import Status, better
from harness.ids import SEED_ATTEMPT, AttemptId
from harness.search.reward import Rewards


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
