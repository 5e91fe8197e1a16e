"""Recall: two searches, one ranking.

Dense and lexical search each answer down to their own relevance floor, so that a query that has
nothing in common with the memory finds nothing. Their ranks are fused by reciprocal rank (Cormack,
Clarke, Büttcher 2009), and from the fused candidates those are chosen that are relevant and unlike
each other (maximal marginal relevance, Carbonell and Goldstein 1998).

The same store and the same query give the same answer: no clock, no random number, equals in order
of writing, and nothing of records outside the scope has an influence.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np

from harness.memory import lookup
from harness.memory.base import RecallQuery
from harness.memory.dense import Hits, Seqs, best
from harness.memory.embedders import Vectors
from harness.memory.lexical import LEXICAL_FLOOR, LexicalIndex
from harness.memory.rows import EmbedderRow, Place
from harness.memory.store import Store

_RRF_K = 60
_MMR_RELEVANCE = 0.7
_SAME = 0.98
"""Cosine from which two records say the same; the second one is not shown."""
_FIRST_DEPTH = 16
_LAST_DEPTH = 4_096


class DenseSearch(Protocol):
    """Nearest records by cosine, down to the embedder's floor."""

    def search(self, place: Place, vector: Vectors, allowed: Seqs | None, count: int) -> Hits: ...


@dataclass(frozen=True, slots=True)
class _Candidate:
    seq: int
    score: float
    author: tuple[str, str]
    vector: Vectors | None


def recall(
    store: Store,
    words: LexicalIndex,
    dense: DenseSearch,
    embedder: EmbedderRow,
    query: RecallQuery,
    place: Place,
    vector: Vectors | None,
) -> list[tuple[int, float]]:
    """(sequence number, fused score) of the records that bear on the query, best first.

    `vector` is the query's, or None when no embedder answers: lexical search alone.
    """
    if query.limit <= 0:
        return []
    allowed = _allowed(store, query, place)
    lexical = words.coverage(place, query.text)
    if allowed is not None:
        mask = np.isin(lexical.seqs, allowed)
        lexical = Hits(lexical.seqs[mask], lexical.scores[mask])
    depth = max(_FIRST_DEPTH, 4 * query.limit)
    while True:
        legs = [best(*lexical, count=depth, floor=LEXICAL_FLOOR)]
        if vector is not None and vector.any():
            legs.append(dense.search(place, vector, allowed, depth))
        chosen = _diverse(_candidates(store, embedder, legs), query.limit)
        exhausted = all(len(leg.seqs) < depth for leg in legs)
        # A flood of copies fills the first depth: look further down.
        if len(chosen) >= query.limit or exhausted or depth >= _LAST_DEPTH:
            return chosen
        depth *= 8


def _allowed(store: Store, query: RecallQuery, place: Place) -> Seqs | None:
    """Sequence numbers that the query's filters let through; None without filters."""
    if not query.kinds and not query.outcomes:
        return None
    seqs = lookup.filtered(store, place, [kind.value for kind in query.kinds], query.outcomes)
    return np.array(seqs, np.int64)


def _candidates(store: Store, embedder: EmbedderRow, legs: Sequence[Hits]) -> list[_Candidate]:
    """The legs fused by reciprocal rank, best first."""
    fused: dict[int, float] = {}
    for leg in legs:
        for rank, seq in enumerate(leg.seqs.tolist(), 1):
            fused[seq] = fused.get(seq, 0.0) + 1 / (_RRF_K + rank)
    order = sorted(fused, key=lambda seq: (-fused[seq], seq))
    known = lookup.candidates(store, order, embedder.number)
    return [
        _Candidate(seq, fused[seq], known[seq][0], known[seq][1]) for seq in order if seq in known
    ]


def _diverse(candidates: Sequence[_Candidate], limit: int) -> list[tuple[int, float]]:
    """At most `limit` of the candidates: relevant, unlike each other, not all of one author.

    An author gets more than half of the places only when others leave them free.
    """
    if not candidates:
        return []
    dimensions = next((len(c.vector) for c in candidates if c.vector is not None), 1)
    blank = np.zeros(dimensions, np.float32)
    matrix = np.stack([blank if c.vector is None else c.vector for c in candidates])
    relevance = np.array([c.score for c in candidates]) / candidates[0].score
    nearest = np.zeros(len(candidates))
    free = np.ones(len(candidates), np.bool_)
    authors = Counter[tuple[str, str]]()
    chosen: list[int] = []
    while len(chosen) < limit:
        free &= nearest < _SAME
        if not free.any():
            break
        quota = ceil(limit / 2)
        fair = free & np.array([authors[c.author] < quota for c in candidates])
        value = _MMR_RELEVANCE * relevance - (1 - _MMR_RELEVANCE) * nearest
        pick = int(np.argmax(np.where(fair if fair.any() else free, np.round(value, 6), -np.inf)))
        chosen.append(pick)
        authors[candidates[pick].author] += 1
        free[pick] = False
        nearest = np.maximum(nearest, np.einsum("ij,j->i", matrix, matrix[pick]))
    return [(candidates[pick].seq, candidates[pick].score) for pick in chosen]
