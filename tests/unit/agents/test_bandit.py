"""The choice among models: it finds the better one for its cost, and gives none up."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agents.bandit import Pull, arms, choose
from harness.agents.base import ModelConfig

Chance = tuple[float, float, float]
"""How often it brings a gain, how large, at which cost."""


def played(models: Mapping[str, Chance], pulls: int, seed: int, scale: float = 1.0) -> list[str]:
    """The choices of a run; gains shrink as in life."""
    rng = random.Random(seed)
    names = list(models)
    history: list[Pull] = []
    for number in range(pulls):
        name = names[choose(names, history).index]
        chance, size, cost = models[name]
        gain = rng.expovariate(1 / size) if rng.random() < chance else 0.0
        cost_usd = cost * rng.uniform(0.5, 1.5)
        history.append(Pull(name, gain * 0.98**number * scale, 1000, cost_usd))
    return [pull.arm for pull in history]


@pytest.mark.parametrize(
    ("models", "better"),
    [
        ({"a": (0.1, 1.0, 1.0), "b": (0.4, 1.0, 1.0)}, "b"),
        ({"dear": (0.4, 1.0, 10.0), "cheap": (0.3, 1.0, 1.0)}, "cheap"),
        ({"cheap and useless": (0.0, 1.0, 0.1), "works": (0.5, 1.0, 1.0)}, "works"),
        ({"a": (0.1, 1.0, 1.0), "b": (0.5, 1.0, 1.0), "c": (0.5, 1.0, 4.0)}, "b"),
    ],
)
def test_it_comes_to_prefer_what_is_better_for_its_cost(
    models: Mapping[str, Chance], better: str
) -> None:
    shares = [played(models, 150, seed)[50:].count(better) / 100 for seed in range(5)]
    assert sorted(shares)[2] > 0.6
    assert sum(shares) / 5 > 0.6


def test_the_scale_of_the_score_does_not_matter() -> None:
    models = {"a": (0.2, 1.0, 1.0), "b": (0.4, 1.0, 1.0)}
    assert len({tuple(played(models, 40, 1, scale)) for scale in (2**-20, 1.0, 2**20)}) == 1


def test_every_model_is_tried_first_and_ties_go_round() -> None:
    names = ["a", "b", "c"]
    history: list[Pull] = []
    for _ in range(9):
        index = choose(names, history).index
        history.append(Pull(names[index], 0.0, 100, None))
    assert [pull.arm for pull in history] == names * 3


def test_open_directives_count_so_that_many_agents_spread_out() -> None:
    names = ["a", "b", "c", "d"]
    pending: list[str] = []
    for _ in range(8):
        pending.append(names[choose(names, [], pending).index])
    assert Counter(pending) == dict.fromkeys(names, 2)


def test_without_a_price_tokens_are_the_cost() -> None:
    def history(tokens_of_a: int, usd: float | None) -> list[Pull]:
        return [
            Pull(name, 1.0, tokens_of_a if name == "a" else 1000, usd) for name in ("a", "b") * 10
        ]

    cheap, dear = choose(["a", "b"], history(100, None)), choose(["a", "b"], history(9000, None))
    assert cheap.scores[0] > cheap.scores[1]
    assert dear.scores[0] < dear.scores[1]
    known = choose(["a", "b"], history(9000, 0.5))
    assert known.scores[0] == pytest.approx(known.scores[1]), "money counts where it is known"


def test_models_of_one_name_are_told_apart() -> None:
    low, high = (ModelConfig(name="m", reasoning_effort=e) for e in ("low", "high"))
    assert arms([low, ModelConfig(name="n"), high]) == ("m#1", "n", "m#2")


pulls = st.builds(
    Pull,
    st.sampled_from(["a", "b", "c", "gone"]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(0, 10**9),
    st.none() | st.floats(0, 1e6),
)


@given(st.lists(pulls, max_size=60), st.lists(st.sampled_from(["a", "c", "gone"]), max_size=5))
def test_any_history_gives_a_choice_and_always_the_same(
    history: Sequence[Pull], pending: Sequence[str]
) -> None:
    first = choose(["a", "b", "c"], history, pending)
    assert first == choose(["a", "b", "c"], history, pending)
    assert 0 <= first.index < 3
    assert all(score == score for score in first.scores), "no score is NaN"


@settings(max_examples=20)
@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 100)), min_size=80, max_size=80),
)
def test_no_model_is_starved_whatever_happens(
    models: int, outcomes: Sequence[tuple[float, float]]
) -> None:
    names = [str(number) for number in range(models)]
    history: list[Pull] = []
    for gain, cost in outcomes:
        name = names[choose(names, history).index]
        # The worst case for exploring: the first is always good, the others never.
        history.append(Pull(name, gain if name == "0" else 0.0, 1, cost))
    counts = Counter(pull.arm for pull in history)
    assert min(counts[name] for name in names) >= (len(history) / models) ** 0.5 / 2 - 1
