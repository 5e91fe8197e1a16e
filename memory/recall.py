"""Recall: two searches, one ranking.

Dense and lexical search each bring their best; `harness.memory.ranking` fuses and orders them.

A query that has nothing in common with the memory finds nothing. Neither cosine nor words tell that
alone: over the standard library, one sentence in two of a licence reaches the cosine that half of
the right answers have. So both are evidence, the cosine in units of the embedder's own noise
(`harness.memory.embedders.calibrate`), and what the best record must reach grows with the number of
records that could be it by chance.

The same store and the same query give the same answer: no clock, no random number, equals in order
of writing, and nothing of records outside the scope has an influence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.memory import lookup
from harness.memory.base import RecallQuery
from harness.memory.dense import Hits, Seqs, best
from harness.memory.embedders import Vectors
from harness.memory.lexical import LexicalIndex, Matches
from harness.memory.ranking import (
    Evidence,
    Scored,
    Weights,
    crowded,
    diverse,
    purpose_of,
    scored,
)
from harness.memory.rows import EmbedderRow, Place
from harness.memory.store import Store

WORDS_SHARE = 0.75
"""Share of the words in a record's relevance; the rest is the vector's."""
GATE = (0.23, 0.049)
"""The best record's least relevance is GATE[0] + GATE[1] * ln(records in the place).

A line through what `benchmarks/memory_recall.py --calibrate` prints for one half of the unrelated
sentences, with the hashing embedder: what one in twenty of them reaches among 50 to 6 000 records.
"""
LEAST_GATE = 0.35
"""One common word is not enough in the smallest memory."""
WORDS_GATE = 0.5
"""The same for the words' share alone, where no embedder answers."""
TAIL = 0.5
"""Least relevance of the other records, as a share of the gate."""

_FIRST_DEPTH = 32
_LAST_DEPTH = 4_096


class DenseSearch(Protocol):
    """Nearest records by cosine, down to `EmbedderRow.least`."""

    def search(self, place: Place, vector: Vectors, allowed: Seqs | None, count: int) -> Hits: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a recall chose, best first, and what it chose from."""

    chosen: tuple[Scored, ...]
    candidates: tuple[Scored, ...]


NOTHING = Found((), ())


class Recaller:
    """The searches of one memory."""

    def __init__(
        self, store: Store, words: LexicalIndex, dense: DenseSearch, embedder: EmbedderRow
    ) -> None:
        self._store = store
        self._words = words
        self._dense = dense
        self._embedder = embedder

    def recall(
        self, query: RecallQuery, place: Place, vector: Vectors | None, weights: Weights
    ) -> Found:
        """The records that bear on the query.

        `vector` is the query's, or None when no embedder answers: lexical search alone.
        """
        if query.limit <= 0:
            return NOTHING
        purpose = purpose_of(query.purpose)
        weights = purpose.adjusted(weights)
        allowed = self._allowed(query, place)
        matches = self._words.search(place, query.text)
        gate = weights.strictness * gate_of(matches.total, words_alone=vector is None)
        if allowed is not None:
            matches = matches.of(np.isin(matches.seqs, allowed))
        if vector is not None and not vector.any():
            vector = None
        depth = first = max(_FIRST_DEPTH, 4 * query.limit)
        while True:
            legs = self._legs(matches, place, vector, allowed, depth)
            found = self._related(legs, matches, vector, gate, query.run)
            ranked = scored(found, purpose, weights, words_alone=vector is None)
            chosen = diverse(ranked, query.limit, weights.diversity)
            exhausted = not chosen or all(len(leg.seqs) < depth for leg in legs)
            enough = len(chosen) >= query.limit
            # A flood of copies fills the first depth, or what one author says again and again
            # does: look further down, for the latter once.
            if enough and depth <= first and crowded(chosen):
                enough = False
            if enough or exhausted or depth >= _LAST_DEPTH:
                return Found(tuple(chosen), tuple(ranked))
            depth *= 8

    def relevance(self, text: str, place: Place, vector: Vectors) -> float:
        """The greatest relevance of any record; what the gate is calibrated by."""
        matches = self._words.search(place, text)
        legs = self._legs(matches, place, vector, None, _FIRST_DEPTH)
        found = self._related(legs, matches, vector, 0.0, "")
        return max((each.relevance for each in found), default=0.0)

    def _legs(
        self,
        matches: Matches,
        place: Place,
        vector: Vectors | None,
        allowed: Seqs | None,
        depth: int,
    ) -> list[Hits]:
        legs = [best(matches.seqs, matches.scores, count=depth, floor=0.0)]
        if vector is not None:
            legs.append(self._dense.search(place, vector, allowed, depth))
        return legs

    def _related(
        self,
        legs: Sequence[Hits],
        matches: Matches,
        vector: Vectors | None,
        gate: float,
        run: str,
    ) -> list[Evidence]:
        """What the searches brought, if the best of it is related, down to the tail."""
        seqs = np.unique(np.concatenate([leg.seqs for leg in legs]))
        known = lookup.candidates(self._store, seqs.tolist(), self._embedder.number, run)
        candidates = [known[seq] for seq in seqs.tolist() if seq in known]
        if not candidates:
            return []
        seqs = np.array([each.seq for each in candidates], np.int64)
        words, coverage = matches.at(seqs)
        near = self._nearness(candidates, vector)
        share = 1.0 if vector is None else WORDS_SHARE
        relevance = np.round(share * coverage + (1 - share) * near, 6)
        # A record without its vector yet is judged by its words.
        lacking = np.array([each.vector is None for each in candidates])
        relevance = np.where(lacking, np.maximum(relevance, share * coverage), relevance)
        if relevance.max() < gate:
            return []
        return [
            Evidence(candidate, float(words[i]), max(0.0, float(near[i])), float(relevance[i]))
            for i, candidate in enumerate(candidates)
            if relevance[i] >= TAIL * gate
        ]

    def _nearness(
        self, candidates: Sequence[lookup.Candidate], vector: Vectors | None
    ) -> NDArray[np.float64]:
        """Cosine to the query, 0 at the embedder's noise and 1 at its floor."""
        near = np.zeros(len(candidates))
        having = [i for i, each in enumerate(candidates) if each.vector is not None]
        if vector is None or not having:
            return near
        matrix = np.stack([v for each in candidates if (v := each.vector) is not None])
        # einsum: a row's result does not depend on the others.
        cosines = np.einsum("ij,j->i", matrix, vector).astype(np.float64)
        row = self._embedder
        near[having] = np.round((cosines - row.noise) / max(1e-6, row.floor - row.noise), 6)
        return near

    def _allowed(self, query: RecallQuery, place: Place) -> Seqs | None:
        """Sequence numbers that the query's filters let through; None without filters."""
        if not query.kinds and not query.outcomes:
            return None
        kinds = [kind.value for kind in query.kinds]
        return np.array(lookup.filtered(self._store, place, kinds, query.outcomes), np.int64)


def gate_of(records: int, *, words_alone: bool = False) -> float:
    """What the best of so many records must reach."""
    if words_alone:
        return WORDS_GATE
    return max(LEAST_GATE, GATE[0] + GATE[1] * log(max(1, records)))
