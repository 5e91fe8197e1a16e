"""The published selection rules of other systems, written anew behind `SearchPolicy`.

What a rule leaves to a model (what to write) is the proposer's, the same for all; what depends on
hours is a share of the budget here.
"""

import math
import random
from collections import deque
from collections.abc import Sequence

from harness.attempt import Attempt, Direction, Operator
from harness.ids import SEED_ATTEMPT, AttemptId
from harness.search.base import Directive, SearchContext
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph

FAILED = -math.inf


def _said(
    context: SearchContext,
    operator: Operator,
    base: AttemptId,
    references: Sequence[AttemptId] = (),
) -> Directive:
    kept = tuple(dict.fromkeys(r for r in references if r != base))
    return Directive(context.number, operator, base, kept, "The rule says so.")


class Rule:
    """What all rules know: signed scores (higher is better), the best, who expands whom."""

    def __init__(self, *, seed: int, direction: Direction, config: SearchConfig) -> None:
        self.sign = 1.0 if direction == "maximize" else -1.0
        self.scores: dict[AttemptId, float] = {}
        self.order: list[AttemptId] = []
        self.best: AttemptId = SEED_ATTEMPT

    def observe(self, attempt: Attempt) -> None:
        score = FAILED if attempt.score is None else self.sign * attempt.score
        self.scores[attempt.id] = score
        self.order.append(attempt.id)
        if score > self.scores.get(self.best, FAILED):
            self.best = attempt.id

    def broken(self, attempt: AttemptId) -> bool:
        return self.scores[attempt] == FAILED


class Aide(Rule):
    """AIDE (WecoAI/aideml, arXiv:2502.13138): five drafts; then with probability 0.5 debug a
    failing leaf less than three repairs deep, else improve the best."""

    DRAFTS, DEBUG, DEPTH = 5, 0.5, 3

    def __init__(self, *, seed: int, direction: Direction, config: SearchConfig) -> None:
        super().__init__(seed=seed, direction=direction, config=config)
        self._depth: dict[AttemptId, int] = {}
        self._leaves: list[AttemptId] = []

    def observe(self, attempt: Attempt) -> None:
        super().observe(attempt)
        debug = attempt.operator is Operator.DEBUG
        if debug and attempt.parents[0] in self._leaves:
            self._leaves.remove(attempt.parents[0])
        depth = self._depth.get(attempt.parents[0], 0) + 1 if debug else 0
        self._depth[attempt.id] = depth
        if attempt.score is None and depth < self.DEPTH:
            self._leaves.append(attempt.id)

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        if context.number <= self.DRAFTS:
            return _said(context, Operator.DRAFT, SEED_ATTEMPT)
        leaves = [each for each in self._leaves if each not in context.in_flight]
        if leaves and context.rng.random() < self.DEBUG:
            return _said(context, Operator.DEBUG, context.rng.choice(leaves))
        return _said(context, Operator.IMPROVE, self.best)


class MlEvolve(Rule):
    """MLEvolve as released (InternScience/MLEvolve, commit 7d8403c): UCT over a tree of drafts.

    Kept: three drafts at first and at most five, at most three improvements of a node (ten for the
    top), one repair, C falling piecewise from 1.414 to 0.5, the soft switch to top-k with a cap per
    branch (5/3, then 3/2) between half and 0.7 of the budget, rewards by sign, chains that go on
    while they improve, branch stagnation (3; 6 after top-k) leading to evolution or, in the second
    half with probability 0.3, to fusion with the two best of every other branch (five in all), and
    aggregation of branches at most twice between 0.5 and 0.83 of the budget (its hours 6 to 10 of
    12). The new-best reward that the release never gives is not given.
    """

    DRAFTS, FIRST, IMPROVES, TOP_IMPROVES = 5, 3, 3, 10
    REPAIRS, THRESHOLD, TERMINAL = 20, 1e-4, 3

    def __init__(self, *, seed: int, direction: Direction, config: SearchConfig) -> None:
        super().__init__(seed=seed, direction=direction, config=config)
        self._parent: dict[AttemptId, AttemptId | None] = {}
        self._kids: dict[AttemptId, list[AttemptId]] = {}
        self._branch: dict[AttemptId, AttemptId] = {}
        self._members: dict[AttemptId, list[AttemptId]] = {}
        self._visits: dict[AttemptId, int] = {}
        self._reward: dict[AttemptId, float] = {}
        self._debugs: dict[AttemptId, int] = {}
        self._chain_best: dict[AttemptId, float] = {}
        self._fruitless: dict[AttemptId, int] = {}
        self._aggregated = 0
        self._chain: deque[AttemptId] = deque()

    def observe(self, attempt: Attempt) -> None:
        super().observe(attempt)
        me = attempt.id
        if not attempt.parents:
            self._parent[me] = None
            return
        opens = attempt.operator in {Operator.DRAFT, Operator.AGGREGATE}
        parent = SEED_ATTEMPT if opens else attempt.parents[0]
        self._parent[me] = parent
        self._kids.setdefault(parent, []).append(me)
        self._branch[me] = me if opens else self._branch.get(parent, me)
        self._members.setdefault(self._branch[me], []).append(me)
        debug = attempt.operator is Operator.DEBUG
        self._debugs[me] = self._debugs.get(parent, 0) + 1 if debug else 0
        self._follow_chain(me, parent, opens=opens, debug=debug)

    def _follow_chain(self, me: AttemptId, parent: AttemptId, *, opens: bool, debug: bool) -> None:
        score = self.scores[me]
        if score == FAILED:
            self._chain_best[me] = self._chain_best.get(parent, FAILED)
            self._fruitless[me] = self._fruitless.get(parent, 0)
            if self._debugs[me] >= 3 or not debug:
                self._back_propagate(me, -1.0)
            if self._debugs[me] < 3:
                self._chain.append(me)
            return
        before = FAILED if opens else self._chain_best.get(parent, FAILED)
        gained = score - before > self.THRESHOLD
        self._chain_best[me] = max(score, before)
        self._fruitless[me] = 0 if gained else self._fruitless.get(parent, 0) + 1
        if gained:
            self._chain.append(me)
        else:
            self._back_propagate(me, 1.5 if debug else float(not opens))

    def _back_propagate(self, start: AttemptId, reward: float) -> None:
        at: AttemptId | None = start
        while at is not None:
            self._visits[at] = self._visits.get(at, 0) + 1
            self._reward[at] = self._reward.get(at, 0.0) + reward
            at = self._parent[at]

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        pending = list(context.in_flight)
        drafts = len(self._kids.get(SEED_ATTEMPT, ())) + pending.count(SEED_ATTEMPT)
        if drafts < self.FIRST:
            return _said(context, Operator.DRAFT, SEED_ATTEMPT)
        while self._chain:
            node = self._chain.popleft()
            if self._open(node, pending, self.IMPROVES):
                return self._expand(context, node, top=False)
        node, top = self._select(context, pending, drafts)
        if node == SEED_ATTEMPT:
            return self._at_root(context)
        return self._expand(context, node, top=top)

    def _open(self, node: AttemptId, pending: Sequence[AttemptId], limit: int) -> bool:
        kids = len(self._kids.get(node, ())) + pending.count(node)
        if self.broken(node):
            return kids < 1 and self._debugs[node] < self.REPAIRS
        return kids < limit and self._fruitless.get(node, 0) <= self.TERMINAL

    def _select(
        self, context: SearchContext, pending: Sequence[AttemptId], drafts: int
    ) -> tuple[AttemptId, bool]:
        switch = min(1.0, max(0.0, (context.progress - 0.5) / 0.2))
        if context.rng.random() >= 1.0 - 0.8 * switch:
            late = context.progress >= 0.7
            top = self._top(3 if late else 5, 2 if late else 3)
            open_top = [
                (node, 1.0 / rank)
                for rank, node in enumerate(top, start=1)
                if self._open(node, pending, self.TOP_IMPROVES)
            ]
            if open_top:
                nodes, weights = zip(*open_top, strict=True)
                return context.rng.choices(nodes, weights=weights)[0], True
        node = SEED_ATTEMPT
        if drafts < self.DRAFTS:
            return node, False
        constant = self._constant(len(self.order), context.progress)
        while kids := self._kids.get(node, ()):
            if node != SEED_ATTEMPT and self._open(node, pending, self.IMPROVES):
                return node, False
            usable = [k for k in kids if self._kids.get(k) or self._open(k, pending, self.IMPROVES)]
            if not usable:
                break
            node = max(usable, key=lambda k: self._uct(k, constant))
        if node == SEED_ATTEMPT or not self._open(node, pending, self.IMPROVES):
            return self.best, False
        return node, False

    def _constant(self, journal: int, progress: float) -> float:
        first = min(self.DRAFTS * self.IMPROVES**2, round(0.3 * journal / max(progress, 1e-6)))
        return 1.414 if journal <= first else max(1.414 - 0.01 * (journal - first), 0.5)

    def _uct(self, node: AttemptId, constant: float) -> float:
        visits = self._visits.get(node, 0)
        if not visits:
            return math.inf
        above = self._visits.get(self._parent[node] or SEED_ATTEMPT, 1)
        mean = self._reward[node] / visits
        return mean + constant * math.sqrt(math.log(max(above, 1)) / visits)

    def _top(self, count: int, cap: int) -> list[AttemptId]:
        top: list[AttemptId] = []
        used: dict[AttemptId, int] = {}
        for node in sorted(self._branch, key=lambda a: -self.scores[a]):
            branch = self._branch[node]
            if self.broken(node) or len(top) == count:
                break
            if used.get(branch, 0) < cap:
                used[branch] = used.get(branch, 0) + 1
                top.append(node)
        return top

    def _leaders(self, count: int, without: AttemptId | None) -> list[AttemptId]:
        leaders: list[AttemptId] = []
        for branch, members in self._members.items():
            good = [m for m in members if not self.broken(m)]
            if branch != without:
                leaders += sorted(good, key=lambda a: -self.scores[a])[:count]
        return leaders

    def _at_root(self, context: SearchContext) -> Directive:
        leaders = self._leaders(1, None)
        if 0.5 <= context.progress <= 0.83 and self._aggregated < 2 and len(leaders) >= 2:
            self._aggregated += 1
            return _said(context, Operator.AGGREGATE, leaders[0], leaders[1:6])
        return _said(context, Operator.DRAFT, SEED_ATTEMPT)

    def _expand(self, context: SearchContext, node: AttemptId, *, top: bool) -> Directive:
        if self.broken(node):
            return _said(context, Operator.DEBUG, node)
        if node not in self._branch:
            return _said(context, Operator.IMPROVE, node)
        window = 6 if top else 3
        good = [m for m in self._members[self._branch[node]] if not self.broken(m)]
        best = max(good, key=lambda a: self.scores[a], default=node)
        if len(good) <= window or best in good[-window:]:
            return _said(context, Operator.IMPROVE, node)
        others = self._leaders(2, self._branch[node])[:5]
        late = context.progress >= 0.5
        if late and others and context.rng.random() < 0.3:
            return _said(context, Operator.FUSE, node, others)
        return _said(context, Operator.EVOLVE, node)


class OpenEvolveIslands(Rule):
    """OpenEvolve 0.4.0 (codelion/openevolve), its defaults: five islands, each a MAP-Elites grid.

    Kept: 10 x 10 cells by complexity and diversity, one program a cell; the islands take turns;
    a parent is drawn uniformly from the island (0.2), from the archive of the 100 best (0.7), or by
    fitness with weight max(score, 0.001) (0.1); inspirations are the best of the island and others
    of it; every 50 generations of an island a tenth of it migrates along the ring. It knows no
    drafts, no repairs and no fusion: the proposer is shown parent and inspirations. Its features
    (code length, edit distance) carry no information about constants, so cells are drawn at random.
    """

    ISLANDS, BINS, ARCHIVE, EVERY, RATE, INSPIRATIONS = 5, 10, 100, 50, 0.1, 3

    def __init__(self, *, seed: int, direction: Direction, config: SearchConfig) -> None:
        super().__init__(seed=seed, direction=direction, config=config)
        self._rng = random.Random(f"openevolve:{seed}")
        self._grids: list[dict[int, AttemptId]] = [{} for _ in range(self.ISLANDS)]
        self._generation = [0] * self.ISLANDS
        self._island: dict[AttemptId, int] = {}

    def observe(self, attempt: Attempt) -> None:
        super().observe(attempt)
        if attempt.score is None:
            return
        if not attempt.parents:
            for grid in self._grids:
                grid[0] = attempt.id
            return
        island = (attempt.directive or 0) % self.ISLANDS
        self._place(island, attempt.id)
        self._generation[island] += 1
        if self._generation[island] % self.EVERY == 0:
            self._migrate(island)

    def _place(self, island: int, attempt: AttemptId) -> None:
        cell = self._rng.randrange(self.BINS**2)
        held = self._grids[island].get(cell)
        if held is None or self.scores[attempt] > self.scores[held]:
            self._grids[island][cell] = attempt

    def _migrate(self, island: int) -> None:
        ranked = sorted(self._grids[island].values(), key=lambda a: -self.scores[a])
        for each in ranked[: max(1, int(len(ranked) * self.RATE))]:
            for neighbour in (island - 1, island + 1):
                self._place(neighbour % self.ISLANDS, each)

    def next(self, graph: AttemptGraph, context: SearchContext) -> Directive:
        rng = context.rng
        members = list(self._grids[context.number % self.ISLANDS].values())
        draw = rng.random()
        if draw < 0.2:
            parent = rng.choice(members)
        elif draw < 0.9:
            everyone = {a for grid in self._grids for a in grid.values()}
            ranked = sorted(everyone, key=lambda a: (-self.scores[a], int(a)))
            parent = rng.choice(ranked[: self.ARCHIVE])
        else:
            weights = [max(self.sign * self.scores[a], 0.001) for a in members]
            parent = rng.choices(members, weights=weights)[0]
        top = max(members, key=lambda a: self.scores[a])
        shown = [top, *rng.sample(members, min(self.INSPIRATIONS - 1, len(members)))]
        return _said(context, Operator.IMPROVE, parent, shown)
