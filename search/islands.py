"""Islands of MAP-Elites grids: several populations, each with the best of every kind of attempt.

A cell of an island's grid is a bin of each descriptor of `search.descriptors`; it holds the attempt
with the best score that fell into it, the newer of equals. The bins of a descriptor divide the
range seen so far, so that no range need be known. Directive n belongs to island n modulo
`search.islands`; what it leads to lives there. After every `search.migration` attempts of an island
its best settles on the next one as well.

A base is the best of its island with probability EXPLOIT, else any elite of the island: by cells,
not by score. Failures are repaired with probability REPAIR while there are any that are worth it;
an elite of another cell is fused in with probability FUSE. Drafts come first, as many as
`progressive` makes.

Origin: MAP-Elites (Mouret and Clune, arXiv:1504.04909); islands with migration along a ring as in
OpenEvolve (codelion/openevolve). Changed here: bins follow the range seen, one attempt settles in
one cell of one island, the best is a base more often than not, and fusing is an operator.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from harness.attempt import NOT_CHARGED, Attempt, Direction, Operator, better
from harness.ids import SEED_ATTEMPT, AttemptId
from harness.search.base import Directive, SearchContext
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph
from harness.search.repairs import Repairs

EXPLOIT = 0.7
REPAIR = 0.3
FUSE = 0.3
EVALUATIONS_PER_DRAFT = 10
SPARE_DIRECTIVES = 4
"""Drafts end when, beside these, less than half of the directives so far led to one."""

Descriptor = Callable[[Attempt, int], float]
"""Of an attempt and its generation."""
Cell = tuple[int, ...]


def _metric(name: str) -> Descriptor:
    def read(attempt: Attempt, generation: int) -> float:
        return attempt.verdict.metrics.get(name, 0.0) if attempt.verdict is not None else 0.0

    return read


DESCRIPTORS: Mapping[str, Descriptor] = {
    "generation": lambda attempt, generation: float(generation),
    "operator": lambda attempt, generation: float(list(Operator).index(attempt.operator)),
    "references": lambda attempt, generation: float(len(attempt.references)),
    "duration": lambda attempt, generation: attempt.verdict.duration_s if attempt.verdict else 0.0,
}
"""By name; `metric:NAME` is a metric of the judge's besides."""


class Island:
    """One grid. Values of the descriptors are kept, so that the bins can follow their range."""

    def __init__(self, direction: Direction, bins: int) -> None:
        self._direction: Direction = direction
        self._bins = bins
        self._ranges: list[tuple[float, float]] = []
        self.cells: dict[Cell, tuple[AttemptId, float, tuple[float, ...]]] = {}
        self.attempts = 0

    def place(self, attempt: AttemptId, score: float, values: tuple[float, ...]) -> None:
        """Settle an attempt in its cell if it is as good as what is there."""
        ranges = self._ranges or [(v, v) for v in values]
        wider = [(min(a, v), max(b, v)) for (a, b), v in zip(ranges, values, strict=True)]
        if wider != self._ranges:
            self._ranges = wider
            settled = sorted(self.cells.values(), key=lambda each: int(each[0]))
            self.cells = {}
            for each in settled:
                self._settle(*each)
        self._settle(attempt, score, values)

    def _settle(self, attempt: AttemptId, score: float, values: tuple[float, ...]) -> None:
        cell = tuple(
            min(self._bins - 1, int(self._bins * (v - low) / (high - low))) if high > low else 0
            for (low, high), v in zip(self._ranges, values, strict=True)
        )
        held = self.cells.get(cell)
        if held is None or not better(self._direction, held[1], score):
            self.cells[cell] = (attempt, score, values)

    def best(self) -> tuple[AttemptId, float, tuple[float, ...]]:
        """The elite with the best score."""
        sign = 1.0 if self._direction == "maximize" else -1.0
        return max(self.cells.values(), key=lambda each: (sign * each[1], int(each[0])))


class IslandsPolicy:
    """See the module's text."""

    def __init__(self, *, seed: int, direction: Direction, config: SearchConfig) -> None:
        self._config = config
        self._direction: Direction = direction
        self._islands = [Island(direction, config.bins) for _ in range(config.islands)]
        self._descriptors = [
            DESCRIPTORS[name] if name in DESCRIPTORS else _metric(name.removeprefix("metric:"))
            for name in config.descriptors
        ]
        self._repairs = Repairs(config.debug_depth)
        self._generation: dict[AttemptId, int] = {}
        self._finished = 0
        self._drafts = 0

    def observe(self, attempt: Attempt) -> None:
        if attempt.status in NOT_CHARGED:
            return
        self._finished += 1
        self._repairs.observe(attempt)
        base = attempt.parents[0] if attempt.parents else None
        generation = self._generation.get(base, 0) + 1 if base is not None else 0
        self._generation[attempt.id] = generation
        if base is not None:
            self._drafts += attempt.operator is Operator.DRAFT
        if attempt.score is None:
            return
        values = tuple(read(attempt, generation) for read in self._descriptors)
        if base is None:
            for island in self._islands:
                island.place(attempt.id, attempt.score, values)
            return
        number = attempt.directive if attempt.directive is not None else int(attempt.id)
        place = number % len(self._islands)
        island = self._islands[place]
        island.place(attempt.id, attempt.score, values)
        island.attempts += 1
        if island.attempts % self._config.migration == 0:
            self._islands[(place + 1) % len(self._islands)].place(*island.best())

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        rng = context.rng
        island = self._islands[context.number % len(self._islands)]
        elites = [each for each, *_ in island.cells.values()]
        everyone = {a: None for other in self._islands for a, *_ in other.cells.values()}
        allowed = (
            [a for a in elites if a not in context.avoid]
            or [a for a in everyone if a not in context.avoid]
            or elites
        )
        if not allowed or self._wants_draft(context):
            reason = "Open a further line from the seed."
            return Directive(context.number, Operator.DRAFT, SEED_ATTEMPT, (), reason)
        broken = self._repairs.open({*context.in_flight, *context.avoid})
        if broken and rng.random() < REPAIR:
            reason = f"Attempt {broken[0]} ended as {graph[broken[0]].status}; repair it."
            return Directive(context.number, Operator.DEBUG, broken[0], (), reason)
        best, *_ = island.best()
        base = best if best in allowed and rng.random() < EXPLOIT else rng.choice(allowed)
        what = "is the best of its island" if base == best else "is the best of its kind"
        others = [a for a in everyone if a != base]
        if others and rng.random() < FUSE:
            other = rng.choice(others)
            reason = f"Attempt {base} {what}; take from {other} what it lacks."
            return Directive(context.number, Operator.FUSE, base, (other,), reason)
        reason = f"Attempt {base} {what}; improve on it."
        return Directive(context.number, Operator.IMPROVE, base, (), reason)

    def _wants_draft(self, context: SearchContext) -> bool:
        expected = self._finished / max(context.progress, 1e-4)
        affordable = max(1, int(expected / EVALUATIONS_PER_DRAFT))
        wanted = min(self._config.branches, affordable)
        started = self._drafts + Counter(context.in_flight)[SEED_ATTEMPT]
        return started < wanted and context.number <= SPARE_DIRECTIVES + 2 * (started + 1)
