"""How what was found is ordered: the two searches fused, priors, diversity."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from harness.memory.lookup import Candidate
from harness.memory.rows import TRIALS

SAME = 0.98
"""Cosine from which two records say the same; the second one is not shown."""
HALF_LIFE_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Weights:
    """What `harness.memory.tuning` may adjust.

    The defaults of `lexical` come from the tuning half of `benchmarks/memory_recall.py`.
    """

    lexical: float = 0.65
    """Share of the words in the fused score; the rest is the vectors'."""
    strictness: float = 1.0
    """Factor on the relevance that the best record must reach."""
    diversity: float = 0.1
    """What likeness to a better record costs (1 - lambda of maximal marginal relevance)."""
    credit: float = 0.5
    """How much a record gains or loses by what came of showing it."""
    recency: float = 0.1
    """How much of its score a very old record loses."""
    kind: float = 1.0
    """How much the purpose's preference of kinds and outcomes counts."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """From plain JSON; unknown names are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: float(value) for name, value in data.items() if name in known})

    def plain(self) -> dict[str, float]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a kind of question wants: factors on scores, and changes of the weights."""

    kinds: Mapping[str, float]
    outcomes: Mapping[str, float]
    lexical: float | None = None
    diversity: float | None = None

    def adjusted(self, weights: Weights) -> Weights:
        """The weights for this purpose."""
        if self.lexical is not None:
            weights = replace(weights, lexical=self.lexical)
        if self.diversity is not None:
            weights = replace(weights, diversity=max(weights.diversity, self.diversity))
        return weights

    def factor(self, candidate: Candidate, strength: float) -> float:
        """How much this purpose prefers a record."""
        wanted = self.kinds.get(candidate.kind, 1.0) * self.outcomes.get(candidate.outcome, 1.0)
        return float(wanted**strength)


_ANY = Purpose({}, {})
_IMPROVE = Purpose({"insight": 1.15}, {"improved": 1.1})
PURPOSES: Mapping[str, Purpose] = {
    # A first solution wants what is known before what was tried, and different ideas.
    "draft": Purpose({"insight": 1.2, "knowledge": 1.2, "skill": 1.2}, {}, diversity=0.5),
    "improve": _IMPROVE,
    "evolve": _IMPROVE,
    "tune": _IMPROVE,
    # An error's text is matched by its words, and what failed the same way is the point.
    "debug": Purpose({}, {"failed": 1.15, "invalid": 1.15, "timeout": 1.15}, lexical=0.85),
    "fuse": Purpose({"insight": 1.1}, {"improved": 1.1}, diversity=0.4),
    "aggregate": Purpose({"insight": 1.2}, {"improved": 1.1}, diversity=0.5),
    # A plan is checked against what failed as much as against what helped.
    "plan": Purpose({"insight": 1.2}, {"improved": 1.05, "worse": 1.05}, diversity=0.4),
    "pivot": Purpose({"insight": 1.2, "knowledge": 1.1}, {}, diversity=0.6),
}


class Evidence(NamedTuple):
    """A record that is related: BM25, nearness (1 at the embedder's floor), both as relevance."""

    candidate: Candidate
    words: float
    near: float
    relevance: float


class Scored(NamedTuple):
    """A candidate with what its place is made of: each leg in [0, 1], the prior's factor."""

    candidate: Candidate
    lexical: float
    dense: float
    prior: float
    score: float


def scored(
    found: Sequence[Evidence], purpose: Purpose, weights: Weights, *, words_alone: bool = False
) -> list[Scored]:
    """Best first.

    A convex combination of the two scores, each divided by the greatest one there is for the query
    (Bruch, Gai, Ingber 2023, arXiv:2210.11934, who find it better than fusing ranks), times priors.
    """
    most_words = max((each.words for each in found), default=0.0) or 1.0
    most_near = max((each.near for each in found), default=0.0) or 1.0
    share = 1.0 if words_alone else weights.lexical
    newest = max((each.candidate.created_at for each in found), default=0.0)
    uses = sum(each.candidate.uses for each in found)
    usual = (sum(each.candidate.wins for each in found) + 1) / (uses + 4)
    ranked: list[Scored] = []
    for candidate, words, near, _ in found:
        words, near = words / most_words, near / most_near
        # Shrunk towards what the others here are worth: a record that was never shown stays as is.
        rate = (candidate.wins + TRIALS * usual) / (candidate.uses + TRIALS)
        age = 0.5 ** (max(0.0, newest - candidate.created_at) / HALF_LIFE_S)
        prior = (
            (1 + weights.credit * (rate - usual))
            * (1 - weights.recency * (1 - age))
            * purpose.factor(candidate, weights.kind)
        )
        fused = share * words + (1 - share) * near
        ranked.append(Scored(candidate, words, near, prior, round(fused * prior, 6)))
    return sorted(ranked, key=lambda each: (-each.score, each.candidate.seq))


def diverse(candidates: Sequence[Scored], limit: int, diversity: float) -> list[Scored]:
    """At most `limit`, best first: relevant, unlike each other, not all of one author.

    Maximal marginal relevance (Carbonell and Goldstein 1998). An author gets more than half of the
    places only when others leave them free.
    """
    if not candidates:
        return []
    matrix = _matrix(candidates)
    relevance = np.array([each.score for each in candidates]) / (candidates[0].score or 1.0)
    nearest = np.zeros(len(candidates))
    free = np.ones(len(candidates), np.bool_)
    authors = Counter[tuple[str, str]]()
    chosen: list[int] = []
    quota = quota_of(limit)
    while len(chosen) < limit:
        free &= nearest < SAME
        if not free.any():
            break
        fair = free & np.array([authors[each.candidate.author] < quota for each in candidates])
        value = (1 - diversity) * relevance - diversity * nearest
        pick = int(np.argmax(np.where(fair if fair.any() else free, np.round(value, 6), -np.inf)))
        chosen.append(pick)
        authors[candidates[pick].candidate.author] += 1
        free[pick] = False
        nearest = np.maximum(nearest, np.einsum("ij,j->i", matrix, matrix[pick]))
    return [candidates[pick] for pick in chosen]


def quota_of(limit: int) -> int:
    """Places that one author gets while others have something to say."""
    return ceil(limit / 2)


def crowded(chosen: Sequence[Scored]) -> bool:
    """Whether one author has more than its quota of the places."""
    authors = Counter(each.candidate.author for each in chosen)
    return max(authors.values(), default=0) > quota_of(len(chosen))


def _matrix(candidates: Sequence[Scored]) -> NDArray[np.float32]:
    vectors = [each.candidate.vector for each in candidates]
    dimensions = next((len(vector) for vector in vectors if vector is not None), 1)
    blank = np.zeros(dimensions, np.float32)
    return np.stack([blank if vector is None else vector for vector in vectors])


def purpose_of(name: str) -> Purpose:
    """The purpose of this name; none in particular for unknown ones."""
    return PURPOSES.get(name, _ANY)
