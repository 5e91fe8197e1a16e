"""Policies by name: built in, by entry point, or `package.module:Class`."""

from importlib.metadata import EntryPoint, entry_points
from typing import cast

from harness.attempt import Direction
from harness.errors import ConfigurationError
from harness.search.base import SearchPolicy
from harness.search.config import SearchConfig

GROUP = "harness.search"
BUILT_IN = {
    "progressive": "harness.search.progressive:ProgressivePolicy",
    "greedy": "harness.search.greedy:GreedyPolicy",
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
    plugins = {point.name: point.value for point in entry_points(group=GROUP)}
    known = plugins | BUILT_IN
    reference = known.get(name, name)
    if ":" not in reference:
        raise ConfigurationError(
            f"there is no search policy {name!r}",
            expected=f"one of {', '.join(sorted(known))}, or package.module:Class",
            action="set --search to one of these",
        )
    module, _, attribute = reference.partition(":")
    try:
        factory = EntryPoint(name, reference, GROUP).load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the search policy {reference!r} cannot be loaded: {error}",
            expected=f"a module {module!r} on the path with a class {attribute!r}",
            action="install the package, or correct --search",
        ) from error
    return cast(SearchPolicy, factory(seed=seed, direction=direction, config=config))
