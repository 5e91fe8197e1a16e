"""Lexical search: which records have the words of a query, weighed by how rare the words are."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from math import log

import numpy as np

from harness.memory import lookup
from harness.memory.dense import Hits, Seqs
from harness.memory.rows import Place
from harness.memory.store import Store
from harness.memory.text import index_token, words

LEXICAL_FLOOR = 0.33
"""Least share of a query's information (inverse document frequency of its words) in a record."""

_MAX_TERMS = 32
_MAX_POSTINGS = 5_000
"""A word in more records than this tells nothing apart."""
_CACHED_WORDS = 2_048


class LexicalIndex:
    """Searches through FTS5, remembering which records have a word; safe for several threads.

    Records never change and get ascending numbers, so only what is new is asked for again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._postings = OrderedDict[tuple[Place, str], tuple[int, Seqs]]()

    def coverage(self, place: Place, text: str) -> Hits:
        """For each record with a word of `text`, the share of the text's information that it has.

        Unordered, without a floor. Computed from the records in `place` alone: SQLite's own bm25
        weighs words by the whole table, so that other runs would change what a run recalls.
        """
        terms = list(dict.fromkeys(index_token(word) for word in words(text)))[:_MAX_TERMS]
        if not terms:
            return Hits(np.zeros(0, np.int64), np.zeros(0))
        with self._lock:
            newest, total = lookup.extent(self._store, place)
            return self._coverage(place, terms, newest, total)

    def _coverage(self, place: Place, terms: Sequence[str], newest: int, total: int) -> Hits:
        information = 0.0
        covered = np.zeros(newest + 1)
        for term in terms:
            seqs = self._having(place, term, newest)
            weight = log(1 + total / max(1, len(seqs)))
            information += weight
            if len(seqs) <= _MAX_POSTINGS:
                covered[seqs] += weight
        found = np.flatnonzero(covered)
        return Hits(found.astype(np.int64), covered[found] / information)

    def _having(self, place: Place, term: str, newest: int) -> Seqs:
        """Records up to `newest` in `place` that have the word (just too many if it is common)."""
        key = (place, term)
        seen, seqs = self._postings.get(key, (0, np.zeros(0, np.int64)))
        if seen < newest and len(seqs) <= _MAX_POSTINGS:
            limit = _MAX_POSTINGS + 1 - len(seqs)
            new = lookup.with_word(self._store, place, term, after=seen, until=newest, limit=limit)
            seqs = np.concatenate([seqs, np.array(new, np.int64)])
        self._postings[key] = (newest, seqs)
        self._postings.move_to_end(key)
        if len(self._postings) > _CACHED_WORDS:
            self._postings.popitem(last=False)
        return seqs
