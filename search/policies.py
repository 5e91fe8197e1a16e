"""Policies by name: built in, by entry point, or `package.module:Class`."""

from typing import cast

from harness.attempt import Direction
from harness.plugins import load_plugin
from harness.search.base import SearchPolicy
from harness.search.config import SearchConfig

GROUP = "harness.search"
BUILT_IN = {
    "progressive": "harness.search.progressive:ProgressivePolicy",
    "greedy": "harness.search.greedy:GreedyPolicy",
    "islands": "harness.search.islands:IslandsPolicy",
    "best_of_n": "harness.search.best_of_n:BestOfNPolicy",
    "random": "harness.search.uniform:RandomPolicy",
}


def make_policy(
    name: str, *, seed: int, direction: Direction, config: SearchConfig
) -> SearchPolicy:
    """The policy called `name`, constructed with the other arguments.

    Only the module that is named gets imported.

    Raises:
        ConfigurationError: No such policy; lists those that exist.
    """
    factory = load_plugin(
        name, group=GROUP, built_in=BUILT_IN, what="search policy", flag="--search"
    )
    return cast(SearchPolicy, factory(seed=seed, direction=direction, config=config))
