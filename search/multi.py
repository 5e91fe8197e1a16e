"""Policies for tasks with several objectives, around any policy that knows scores only."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.attempt import Attempt, Direction, Operator, Status
from harness.ids import AttemptId
from harness.search.base import Directive, SearchContext, SearchPolicy
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph
from harness.search.pareto import Objective, ParetoFront, point_of
from harness.search.policies import make_policy


def make_search(
    config: SearchConfig, *, seed: int, direction: Direction, objectives: Sequence[Objective]
) -> SearchPolicy:
    """The policy that `config` names, made to serve the objectives as `config.objectives` says.

    Raises:
        ConfigurationError: No such policy.
    """

    def inner(towards: Direction) -> SearchPolicy:
        return make_policy(config.policy, seed=seed, direction=towards, config=config)

    if not objectives or config.objectives == "score":
        return inner(direction)
    if config.objectives == "weighted":
        return WeightedPolicy(inner, direction, objectives)
    return HypervolumePolicy(inner(direction), direction, objectives)


class HypervolumePolicy:
    """Bases are members of the Pareto front, drawn by what they add to its hypervolume.

    Operators, drafts and repairs are the inner policy's, which goes by the score.
    """

    def __init__(
        self, inner: SearchPolicy, direction: Direction, objectives: Sequence[Objective]
    ) -> None:
        self._inner = inner
        self._front = ParetoFront(direction, objectives)
        self._contributions: dict[AttemptId, float] = {}

    def observe(self, attempt: Attempt) -> None:
        self._inner.observe(attempt)
        if self._front.observe(attempt.id, attempt.verdict):
            self._contributions = self._front.contributions()

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        directive = self._inner.next(graph, context)
        chances = {a: c for a, c in self._contributions.items() if a not in context.avoid}
        if directive.operator in {Operator.DRAFT, Operator.DEBUG} or not any(chances.values()):
            return directive
        base = context.rng.choices(list(chances), weights=list(chances.values()))[0]
        if base == directive.base:
            return directive
        references = tuple(each for each in directive.references if each != base)
        if directive.references and not references:
            references = (directive.base,)
        reason = f"Attempt {base} is on the Pareto front; take it further."
        return replace(directive, base=base, references=references, reason=reason)


class WeightedPolicy:
    """The inner policy sees the weighted sum of score and metrics as the score, to be maximised.

    Each is counted as its gain over the seed's value, in units of that value (of 1 where it is 0),
    so that the sum of an attempt never changes. What lacks a metric is a failure to the policy.
    """

    def __init__(
        self,
        inner: Callable[[Direction], SearchPolicy],
        direction: Direction,
        objectives: Sequence[Objective],
    ) -> None:
        self._inner = inner("maximize")
        self._direction: Direction = direction
        self._objectives = objectives
        self._graph = AttemptGraph("maximize")
        self._origin: tuple[float, ...] | None = None

    def observe(self, attempt: Attempt) -> None:
        seen = self._seen(attempt)
        self._graph.put(seen)
        self._inner.observe(seen)

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        return self._inner.next(self._graph, context)

    def _seen(self, attempt: Attempt) -> Attempt:
        references = tuple(each for each in attempt.references if each in self._graph)
        attempt = replace(attempt, references=references)
        if attempt.verdict is None or attempt.status is not Status.SCORED:
            return attempt
        point = point_of(attempt.verdict, self._direction, self._objectives)
        if point is None:
            failed = replace(attempt.verdict, status=Status.INVALID, score=None)
            return replace(attempt, status=Status.INVALID, verdict=failed)
        if self._origin is None:
            self._origin = point
        weights = (1.0, *(each.weight for each in self._objectives))
        total = sum(
            weight * (value - start) / (abs(start) or 1.0)
            for weight, value, start in zip(weights, point, self._origin, strict=True)
        )
        return replace(attempt, verdict=replace(attempt.verdict, score=total))
