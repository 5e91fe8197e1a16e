"""The front against a plain sort of all scores."""

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.search.searching import finished, scores

from harness.attempt import Direction, better
from harness.search.front import Front


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
