"""Lexical search: BM25 over the records of one place, and how much of a query a record covers."""

import threading
from collections import OrderedDict
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.memory import lookup
from harness.memory.dense import Seqs
from harness.memory.rows import Place
from harness.memory.store import Store
from harness.memory.words import query_terms

BM25_K1 = 1.2
BM25_B = 0.75
"""Robertson and Zaragoza 2009; `benchmarks/memory_recall.py` finds nothing better."""

_MAX_TERMS = 32
_MAX_POSTINGS = 5_000
"""A word in more records than this tells little apart."""
_CACHED_WORDS = 2_048
_CACHED_PLACES = 8


class Matches(NamedTuple):
    """Records that have a word of the query, in order of their sequence numbers."""

    seqs: Seqs
    scores: NDArray[np.float64]
    """BM25."""
    coverage: NDArray[np.float64]
    """Share of the query's information (inverse document frequency of its words) in the record."""
    total: int
    """Records in the place."""

    def of(self, mask: NDArray[np.bool_]) -> "Matches":
        """Those that `mask` lets through."""
        return Matches(self.seqs[mask], self.scores[mask], self.coverage[mask], self.total)

    def at(self, seqs: Seqs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores and coverage of these records; 0 of those without a word of the query."""
        if not len(self.seqs):
            return np.zeros(len(seqs)), np.zeros(len(seqs))
        places = np.minimum(np.searchsorted(self.seqs, seqs), len(self.seqs) - 1)
        there = self.seqs[places] == seqs
        return (
            np.where(there, self.scores[places], 0.0),
            np.where(there, self.coverage[places], 0.0),
        )


class _Lengths:
    """How many words each record of a place has, kept up by sequence number."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.newest = 0
        self.count = 0
        self._sum = 0
        self.of = np.zeros(64, np.float64)

    @property
    def mean(self) -> float:
        return max(1.0, self._sum / max(1, self.count))

    def refresh(self, store: Store) -> None:
        rows = lookup.lengths(store, self._place, after=self.newest)
        if not rows:
            return
        self.newest = rows[-1][0]
        self.count += len(rows)
        self._sum += sum(length for _, length in rows)
        if self.newest >= len(self.of):
            grown = np.zeros(2 * self.newest, np.float64)
            grown[: len(self.of)] = self.of
            self.of = grown
        table = np.array(rows, np.int64)
        self.of[table[:, 0]] = table[:, 1]


class _Postings(NamedTuple):
    """Records up to `seen` that have a word, and how often."""

    seen: int
    seqs: Seqs
    counts: NDArray[np.float64]


_EMPTY = _Postings(0, np.zeros(0, np.int64), np.zeros(0))


class LexicalIndex:
    """Searches through FTS5, remembering which records have a word; safe for several threads.

    Records' words never change and records get ascending numbers, so only what is new is asked for
    again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._postings = OrderedDict[tuple[Place, str], _Postings]()
        self._lengths = OrderedDict[Place, _Lengths]()

    def search(self, place: Place, text: str) -> Matches:
        """Every record with a word of `text`, scored by the records in `place` alone."""
        terms = query_terms(text, _MAX_TERMS)
        with self._lock:
            lengths = self._lengths.setdefault(place, _Lengths(place))
            self._lengths.move_to_end(place)
            if len(self._lengths) > _CACHED_PLACES:
                self._lengths.popitem(last=False)
            lengths.refresh(self._store)
            return self._scored(place, terms, lengths)

    def _scored(self, place: Place, terms: list[str], lengths: _Lengths) -> Matches:
        information = 0.0
        covered = np.zeros(lengths.newest + 1)
        scores = np.zeros(lengths.newest + 1)
        for term in terms:
            having = self._having(place, term, lengths.newest)
            count = len(having.seqs)
            share = log(1 + lengths.count / max(1, count))
            information += share
            if count > _MAX_POSTINGS:
                continue
            covered[having.seqs] += share
            rarity = log(1 + (lengths.count - count + 0.5) / (count + 0.5))
            relative = lengths.of[having.seqs] / lengths.mean
            damping = BM25_K1 * (1 - BM25_B + BM25_B * relative)
            scores[having.seqs] += (
                rarity * having.counts * (BM25_K1 + 1) / (having.counts + damping)
            )
        found = np.flatnonzero(covered)
        coverage = covered[found] / (information or 1.0)
        return Matches(found.astype(np.int64), scores[found], coverage, lengths.count)

    def _having(self, place: Place, term: str, newest: int) -> _Postings:
        """Records up to `newest` in `place` with the word (just too many if it is common)."""
        key = (place, term)
        known = self._postings.get(key, _EMPTY)
        if known.seen < newest and len(known.seqs) <= _MAX_POSTINGS:
            limit = _MAX_POSTINGS + 1 - len(known.seqs)
            seqs, counts = lookup.with_word(
                self._store, place, term, after=known.seen, until=newest, limit=limit
            )
            known = _Postings(
                newest, np.concatenate([known.seqs, seqs]), np.concatenate([known.counts, counts])
            )
        self._postings[key] = known._replace(seen=newest)
        self._postings.move_to_end(key)
        if len(self._postings) > _CACHED_WORDS:
            self._postings.popitem(last=False)
        return known
