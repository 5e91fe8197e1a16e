"""The dense search of a memory: Chroma where it is faster, exact search everywhere else.

Exact search over 20 000 vectors of length 384 takes 2.7 ms on one core, Chroma's query 3 ms at any
size (after 1.5 s of CPU and 80 MB to import it): below that, Chroma is fed but not asked. What is
not yet in Chroma is always searched exactly.
"""

import logging
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.memory import lookup
from harness.memory.dense import Hits, Seqs, VectorTable, best
from harness.memory.embedders import Vectors
from harness.memory.rows import EmbedderRow, Place
from harness.memory.store import Store

if TYPE_CHECKING:
    from harness.memory.chroma import ChromaIndex, IndexLock

_LOG = logging.getLogger(__name__)

EXACT_LIMIT = 20_000
"""Records in a place up to which exact search is as fast as Chroma's."""
FEED_AT = 1_000
"""Records that wait before Chroma is imported and fed: small runs never pay for it."""
_TABLES = 4
_OVERFETCH = 4
_MAX_AT_CLOSE = 5_000
"""Records fed at the end of a process (about ten seconds); the next owner goes on from there."""


class DenseIndex:
    """Safe to call from several threads; neither `search` nor `wake` waits for Chroma.

    Args:
        store: The truth.
        embedder: Whose vectors.
        root: Folder of the Chroma index; None to search exactly only.
        exact_limit: Records in a place above which Chroma is asked.
        feed_at: Records that wait before Chroma is fed.
    """

    def __init__(
        self,
        store: Store,
        embedder: EmbedderRow,
        root: Path | None,
        *,
        exact_limit: int = EXACT_LIMIT,
        feed_at: int = FEED_AT,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._root = root
        self._exact_limit = exact_limit
        self._feed_at = feed_at
        self._search_lock = threading.Lock()
        self._tables = OrderedDict[tuple[Place, int], VectorTable]()
        self._feed_lock = threading.Lock()
        self._owner_lock: IndexLock | None = None
        self._chroma: ChromaIndex | None = None
        self._broken = False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._wake_lock = threading.Lock()
        self._until_check = 0

    def search(self, place: Place, vector: Vectors, allowed: Seqs | None, count: int) -> Hits:
        """Nearest records by cosine, down to `EmbedderRow.least`.

        Args:
            place: Where to search.
            vector: Shape [dimensions], length 1.
            allowed: Sequence numbers that filters let through; None for all.
            count: At most so many.
        """
        if self._chroma is not None and self._feed_lock.acquire(blocking=False):
            try:
                hits = self._approximate(place, vector, allowed, count)
            finally:
                self._feed_lock.release()
            if hits is not None:
                return hits
        return self._exact(place, vector, allowed, count, after=0)

    def _exact(
        self, place: Place, vector: Vectors, allowed: Seqs | None, count: int, *, after: int
    ) -> Hits:
        with self._search_lock:
            key = (place, after)
            table = self._tables.setdefault(key, VectorTable(place, self._embedder, after=after))
            self._tables.move_to_end(key)
            if len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
            table.refresh(self._store)
            return table.search(vector, allowed, count)

    def _approximate(
        self, place: Place, vector: Vectors, allowed: Seqs | None, count: int
    ) -> Hits | None:
        """Chroma's answer merged with what it does not hold yet; None where exact is better."""
        chroma = self._chroma
        if chroma is None or self._broken:
            return None
        if not lookup.more_than(self._store, place, self._exact_limit):
            return None
        wanted = _OVERFETCH * count
        try:
            found, farthest = chroma.nearest(vector, wanted)
        # Supervision point: whatever Chroma says (panics too), the exact search answers.
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            _LOG.warning("the dense index does not answer; searching exactly: %s", error)
            self._broken = True
            return None
        seqs = lookup.within(self._store, place, found.tolist())
        if allowed is not None:
            seqs = np.intersect1d(seqs, allowed)
        if len(seqs) < count and farthest >= self._embedder.least:
            return None  # filters left too few, and there is more to look at
        vectors = lookup.vectors_of(self._store, self._embedder.number, seqs.tolist())
        known = np.array(list(vectors), np.int64)
        matrix = np.array(list(vectors.values()), np.float32).reshape(len(known), len(vector))
        near = np.einsum("ij,j->i", matrix, vector)
        tail = self._exact(place, vector, allowed, count, after=chroma.position)
        every, first = np.unique(np.concatenate([known, tail.seqs]), return_index=True)
        scores = np.concatenate([near.astype(np.float64), tail.scores])[first]
        return best(every, scores, count=count, floor=self._embedder.least)

    def wake(self) -> None:
        """A record was written: see from time to time whether enough wait to be fed."""
        with self._wake_lock:
            self._until_check -= 1
            if self._root is None or self._until_check > 0 or self._running():
                return
            self._until_check = max(1, self._feed_at // 10)
            if self.waiting() >= self._feed_at:
                self._thread = threading.Thread(
                    target=self._supervised_feed, name="memory-index", daemon=True
                )
                self._thread.start()

    def waiting(self) -> int:
        """Vectors of the store that Chroma does not hold."""
        return lookup.vectors_after(self._store, self._embedder.number, self._fed())

    def feed(self, *, limit: int | None = None) -> bool:
        """Feed at most `limit` (default: all) waiting vectors; False if another process owns it.

        Blocking, 500 to 3 000 vectors a second.
        """
        from harness.memory.chroma import BATCH, ChromaIndex, IndexLock

        if self._root is None:
            return False
        left = sys.maxsize if limit is None else limit
        with self._feed_lock:
            if self._owner_lock is None:
                self._owner_lock = IndexLock.taken(self._root)
            if self._owner_lock is None:
                return False
            if self._chroma is None or self._broken:
                self._chroma = ChromaIndex.opened(self._root, self._store, self._embedder)
                self._broken = False
        while left > 0 and not self._stop.is_set():
            rows = lookup.vectors(
                self._store,
                Place("global"),
                self._embedder.number,
                after=self._chroma.position,
                limit=min(BATCH, left),
            )
            if not rows:
                break
            with self._feed_lock:
                self._chroma.feed(rows)
            left -= len(rows)
        return True

    def held(self) -> int:
        """Vectors in Chroma; 0 unless this process has it open."""
        return 0 if self._chroma is None else self._chroma.count()

    def state(self) -> Mapping[str, Any]:
        """Plain JSON."""
        return {
            "kind": "chroma",
            "used": self._chroma is not None and not self._broken,
            "fed_position": self._fed(),
            "waiting": self.waiting(),
        }

    def close(self) -> None:
        """End feeding; feed what is pending if this process owns the index and it is worth it."""
        if self._root is None:
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._stop.clear()
        if self._chroma is not None or self.waiting() >= self._feed_at:
            self._supervised_feed(limit=_MAX_AT_CLOSE)
        self._chroma = None
        if self._owner_lock is not None:
            self._owner_lock.release()
            self._owner_lock = None

    def _running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _fed(self) -> int:
        if self._chroma is not None:
            return self._chroma.position
        if self._root is None:
            return 0
        from harness.memory.chroma import progress

        last = progress(self._root)
        return last.position if last and last.embedder == self._embedder.identity else 0

    def _supervised_feed(self, *, limit: int | None = None) -> None:
        try:
            self.feed(limit=limit)
        # Supervision point: the index is a by-product, no run ends for it; searches stay exact.
        # Chroma's Rust core also panics, with an exception that is no Exception.
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            self._broken = True
            _LOG.warning("the dense index was not fed: %s", error)
