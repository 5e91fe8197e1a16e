"""The default policy: from broad to focused as the budget is used up.

Selection. The open attempts are ordered by score; k = 0, 1, … counts distinct scores from the best.
With progress p in [0, 1] (the largest used share of any budget) and

    f(p) = smoothstep((p - focus_from) / (focus_until - focus_from))
    tau(p) = breadth ** (1 - f) * focus ** f
    s = min(1, attempts finished since the best / (patience * expected evaluations))
    T = focus * (tau / focus) ** s
    P(k) ~ exp(-k / T) * (1/4 + value)

the distribution is geometric in the rank up to the factor for `value`, the back-propagated mean
reward with a virtual loss for expansions under way. Its entropy is 1 + ln(T) for T >> 1. The
pressure s senses whether exploitation pays: while the best keeps getting better nothing else is
worth an evaluation, whatever the budget; once it does not, selection widens to what the schedule
tau allows at this progress. A share of at most `LINES * s * (1 - f)` goes in equal parts to the
best of every line instead, a line being the descendants of one draft. `breadth` and that share
shrink with the square root of the evaluations that the budget allows: a hundred can't feed the
front that ten thousand can.

Operators. Drafts come first, then those that the state calls for take part in a lottery: debug when
a failure may be repaired, evolve when the line of the base stagnates, fuse and aggregate when there
are other lines to take from, tune late, improve always. A ticket's weight is a prior times the rate
at which the operator has improved on its base in this run; to fuse has EARLY_FUSING times more on
top while f = 0, since lines that run into one have less and less to give. To fuse, the best is the
base where something differs from it. Drafts take a tenth of the evaluations at most.

The seed of the idea is the soft switch from exploration to exploitation of MLEvolve
(InternScience/MLEvolve), as are the operators evolve, fuse and aggregate. Changed here: rewards are
ranks of scores instead of signs; selection is a distribution over the whole graph with an entropy
schedule instead of UCT below a top-k gate; thresholds are shares of the budget instead of hours and
absolute differences; stagnation opens selection instead of closing nodes; operators earn their
share; references are ranked by score and difference.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from harness.attempt import NOT_CHARGED, Attempt, Direction, Operator, better
from harness.ids import SEED_ATTEMPT, AttemptId
from harness.search.base import Directive, SearchContext
from harness.search.config import SearchConfig
from harness.search.front import Front
from harness.search.graph import AttemptGraph
from harness.search.repairs import Repairs
from harness.search.reward import Rewards

LINES = 0.25
"""Probability at the start of expanding the best of some line, whatever its score."""
EVALUATIONS_PER_BRANCH = 10
"""A budget smaller than this times `branches` gets fewer drafts: at most a tenth of it."""
EARLY_FUSING = 3.0
"""How much more is fused while the graph is broad: lines that run into one have less to give."""
AFFORDABLE = 16.0
"""The temperature at the start is the square root of the evaluations, divided by this."""
SPARE_DIRECTIVES = 4
"""Drafts end when, beside these, less than half of the directives so far led to one."""
CANDIDATES = 24
"""Attempts looked at as references."""
ANCESTORS = 64
"""Generations looked at to tell how far two attempts are apart."""
MEMORY = 0.98
"""What an operator's outcome is worth after each further outcome of that operator."""

LOCAL_WIN = 0.25
"""What an improvement on the base counts for an operator when it is not the best of all."""


@dataclass(slots=True)
class Line:
    """The descendants of one draft. `since` counts finished attempts since its best."""

    best: AttemptId | None = None
    score: float | None = None
    since: int = 0


@dataclass(slots=True)
class Record:
    """Outcomes of an operator, older ones fading."""

    trials: float = 0.0
    wins: float = 0.0

    @property
    def rate(self) -> float:
        """Posterior mean of the rate of improvement under a uniform prior."""
        return (self.wins + 1.0) / (self.trials + 2.0)


class ProgressivePolicy:
    """See the module's text for the formulas."""

    def __init__(self, *, seed: int, direction: Direction, config: SearchConfig) -> None:
        self._direction: Direction = direction
        self._config = config
        self._front = Front(direction, config.front)
        self._rewards = Rewards(direction)
        self._scores: dict[AttemptId, float] = {}
        """Score to beat below each attempt: its own, or for a failure its base's."""
        self._line_of: dict[AttemptId, AttemptId] = {}
        self._lines: dict[AttemptId, Line] = {}
        self._records: dict[Operator, Record] = {}
        self._repairs = Repairs(config.debug_depth)
        self._drafts = 0
        self._finished = 0
        self._since_best = 0

    # Learning

    def observe(self, attempt: Attempt) -> None:
        if attempt.status in NOT_CHARGED:
            return
        self._finished += 1
        self._rewards.observe(attempt)
        is_best = self._front.observe(attempt)
        self._since_best = 0 if is_best else self._since_best + 1
        base = attempt.parents[0] if attempt.parents else None
        self._follow_line(attempt, base)
        to_beat = self._scores.get(base) if base is not None else None
        improved = attempt.score is not None and (
            to_beat is None or better(self._direction, attempt.score, to_beat)
        )
        if base is not None:
            record = self._records.setdefault(attempt.operator, Record())
            record.trials = record.trials * MEMORY + 1.0
            record.wins = record.wins * MEMORY + (1.0 if is_best else LOCAL_WIN * improved)
            self._drafts += attempt.operator is Operator.DRAFT
        if attempt.score is not None:
            self._scores[attempt.id] = attempt.score
        elif to_beat is not None:
            self._scores[attempt.id] = to_beat
        self._repairs.observe(attempt)

    def _follow_line(self, attempt: Attempt, base: AttemptId | None) -> None:
        starts = base is None or base == SEED_ATTEMPT or attempt.operator is Operator.DRAFT
        name = attempt.id if starts or base is None else self._line_of.get(base, attempt.id)
        self._line_of[attempt.id] = name
        if name not in self._lines and attempt.score is None:
            return  # a draft that failed opens no line; its repair will
        line = self._lines.setdefault(name, Line())
        line.since += 1
        if attempt.score is not None and (
            line.score is None or better(self._direction, attempt.score, line.score)
        ):
            line.best, line.score, line.since = attempt.id, attempt.score, 0

    # Schedule

    def focus(self, progress: float) -> float:
        """f(p): 0 broad, 1 focused."""
        start, end = self._config.focus_from, self._config.focus_until
        x = (progress - start) / (end - start) if end > start else float(progress >= end)
        x = min(1.0, max(0.0, x))
        return x * x * (3.0 - 2.0 * x)

    def temperature(self, progress: float) -> float:
        """tau(p), in ranks."""
        f = self.focus(progress)
        narrow = self._config.focus
        breadth = max(narrow, self._breadth(progress))
        return float(breadth ** (1.0 - f) * narrow**f)

    def _breadth(self, progress: float) -> float:
        """`breadth`, or what the budget allows: it grows with the square root of evaluations."""
        return min(self._config.breadth, math.sqrt(self._expected(progress)) / AFFORDABLE)

    def _expected(self, progress: float) -> float:
        """Evaluations that the budget allows at the present rate."""
        return self._finished / max(progress, 1e-4)

    def _patience(self, progress: float) -> float:
        return max(3.0, self._config.patience * self._expected(progress))

    def _pressure(self, progress: float) -> float:
        """How far exploitation has stopped paying: 0 at a new best, 1 after `patience` without."""
        return min(1.0, self._since_best / self._patience(progress))

    def distribution(
        self,
        progress: float,
        in_flight: Collection[AttemptId] = (),
        avoid: Collection[AttemptId] = (),
    ) -> Mapping[AttemptId, float]:
        """Probability of each open attempt to be expanded next; sums to 1 unless it is empty."""
        pressure = self._pressure(progress)
        narrow = self._config.focus
        tau = narrow * (self.temperature(progress) / narrow) ** pressure
        weights: dict[AttemptId, float] = {}
        for k, group in enumerate(self._front.groups(avoid)):
            newest = group[-1]
            value = self._rewards.value(newest, in_flight)
            weight = math.exp(-k / tau) * (0.25 + value)
            weights[newest] = weight * (0.5 + 0.5 / len(group))
            for other in group[:-1]:
                weights[other] = weight * 0.5 / len(group)
        total = sum(weights.values())
        if not total:
            return weights
        open_lines = [
            line.best
            for line in self._lines.values()
            if line.best is not None and line.best in weights
        ]
        share = 0.0
        if len(open_lines) > 1:
            affordable = self._breadth(progress) / self._config.breadth
            share = pressure * LINES * affordable * (1.0 - self.focus(progress))
        chances = {a: (1.0 - share) * weight / total for a, weight in weights.items()}
        for best in open_lines if share else ():
            chances[best] += share / len(open_lines)
        return chances

    # Choosing

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        chances = self.distribution(context.progress, context.in_flight, context.avoid)
        if not chances or self._wants_draft(context):
            return _directive(
                context, Operator.DRAFT, SEED_ATTEMPT, (), "Open a further line from the seed."
            )
        base = context.rng.choices(list(chances), weights=list(chances.values()))[0]
        broken = self._repairable(context)
        others = self._references(graph, base)
        tickets = self._tickets(context.progress, base, broken is not None, others)
        operator = context.rng.choices(list(tickets), weights=list(tickets.values()))[0]
        return self._compose(graph, context, operator, base, broken, others)

    def _wants_draft(self, context: SearchContext) -> bool:
        affordable = int(self._expected(context.progress) / EVALUATIONS_PER_BRANCH)
        wanted = min(self._config.branches, max(1, affordable))
        started = self._drafts + Counter(context.in_flight)[SEED_ATTEMPT]
        # A draft may end without an attempt: where nothing new can be written, go on without.
        return started < wanted and context.number <= SPARE_DIRECTIVES + 2 * (started + 1)

    def _repairable(self, context: SearchContext) -> AttemptId | None:
        open_failures = self._repairs.open({*context.in_flight, *context.avoid})
        hope = {
            a: self._rewards.rank(self._scores[a]) if a in self._scores else 0.0
            for a in open_failures
        }
        return max(open_failures, key=lambda a: hope[a], default=None)

    def _tickets(
        self, progress: float, base: AttemptId, broken: bool, others: Mapping[AttemptId, float]
    ) -> Mapping[Operator, float]:
        patience = self._patience(progress)
        line = self._lines.get(self._line_of[base])
        stagnant = line is not None and line.since >= patience
        varied = 1.0 + EARLY_FUSING * (1.0 - self.focus(progress))
        late = progress - self._config.tune_from
        priors = {
            Operator.IMPROVE: 1.0,
            Operator.DEBUG: 0.3 if broken else 0.0,
            Operator.EVOLVE: 1.0 if stagnant else 0.0,
            Operator.FUSE: (1.0 if stagnant else 0.3) * varied if others else 0.0,
            Operator.AGGREGATE: 0.3 if len(others) > 1 else 0.0,
            Operator.TUNE: max(0.0, late) / max(1.0 - self._config.tune_from, 0.01),
        }
        return {
            operator: prior * self._records.get(operator, Record()).rate
            for operator, prior in priors.items()
            if prior > 0
        }

    def _references(self, graph: AttemptGraph, base: AttemptId) -> Mapping[AttemptId, float]:
        """Attempts worth taking from, by quality times difference, best first.

        Quality is the rank of the score; the difference is 1 across lines, and within a line
        d / (d + 2), d being the generations since the two parted. Ancestors hold nothing new.
        """
        ancestors = _ancestors(graph, base)
        merits: dict[AttemptId, float] = {}
        for place, other in enumerate(self._front):
            if place >= CANDIDATES:
                break
            apart = _generations_apart(graph, other, ancestors)
            if apart == 0 or base in graph[other].parents:
                continue
            crosses = self._line_of[other] != self._line_of[base]
            difference = 1.0 if crosses else apart / (apart + 2.0)
            merits[other] = self._rewards.rank(self._scores[other]) * difference
        return dict(sorted(merits.items(), key=lambda item: -item[1]))

    def _compose(
        self,
        graph: AttemptGraph,
        context: SearchContext,
        operator: Operator,
        base: AttemptId,
        broken: AttemptId | None,
        others: Mapping[AttemptId, float],
    ) -> Directive:
        place = self._front.position(graph[base])
        standing = "the best" if place == 0 else f"the number {(place or 0) + 1} of the scores"
        if operator is Operator.DEBUG and broken is not None:
            status = graph[broken].status
            reason = f"Attempt {broken} ended as {status}; repair it or give its idea up."
            return _directive(context, operator, broken, (), reason)
        if operator is Operator.FUSE:
            best = next(iter(self._front))
            if base != best and best not in context.avoid:
                of_best = self._references(graph, best)
                if of_best:
                    standing, base, others = "the best", best, of_best
            chosen = context.rng.choices(list(others), weights=list(others.values()))[0]
            reason = f"Attempt {base} is {standing}; take from {chosen} what it lacks."
            return _directive(context, operator, base, (chosen,), reason)
        if operator is Operator.AGGREGATE:
            several = self._one_per_line(others)
            best = next(iter(self._front))
            if best not in context.avoid:
                several, base = tuple(a for a in several if a != best), best
            reason = "Join what is best in several lines."
            return _directive(context, operator, base, several, reason)
        reasons = {
            Operator.EVOLVE: f"The line of attempt {base} stagnates; learn from its own course.",
            Operator.TUNE: f"Attempt {base} is {standing} and the budget nears its end; tune it.",
        }
        reason = reasons.get(operator, f"Attempt {base} is {standing}; improve on it.")
        return _directive(context, operator, base, (), reason)

    def _one_per_line(self, others: Mapping[AttemptId, float]) -> tuple[AttemptId, ...]:
        """The best references, each from another line first, then the rest."""
        first: dict[AttemptId, AttemptId] = {}
        for other in others:
            first.setdefault(self._line_of[other], other)
        rest = [other for other in others if other not in first.values()]
        return tuple([*first.values(), *rest][: self._config.references])


def _directive(
    context: SearchContext,
    operator: Operator,
    base: AttemptId,
    references: tuple[AttemptId, ...],
    reason: str,
) -> Directive:
    return Directive(context.number, operator, base, references, reason)


def _ancestors(graph: AttemptGraph, attempt: AttemptId) -> frozenset[AttemptId]:
    """The attempt and its nearest ancestors along first parents."""
    line = [attempt]
    while len(line) < ANCESTORS and (parents := graph[line[-1]].parents):
        line.append(parents[0])
    return frozenset(line)


def _generations_apart(
    graph: AttemptGraph, attempt: AttemptId, ancestors: Collection[AttemptId]
) -> int:
    """Generations from `attempt` up to the first of `ancestors`; 0 when it is one of them."""
    for distance in range(ANCESTORS):
        if attempt in ancestors:
            return distance
        parents = graph[attempt].parents
        if not parents:
            break
        attempt = parents[0]
    return ANCESTORS
