"""Exact dense search over the stored vectors, held in memory and kept up by position."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.memory import lookup
from harness.memory.embedders import Vectors
from harness.memory.rows import EmbedderRow, Place
from harness.memory.store import Store

Seqs = NDArray[np.int64]


class Hits(NamedTuple):
    """Records that a search found, best first; of equals the oldest first."""

    seqs: Seqs
    scores: NDArray[np.float64]


def best(seqs: Seqs, scores: NDArray[np.float64], *, count: int, floor: float) -> Hits:
    """The `count` best of `scores` that reach `floor`."""
    # The last bits of a dot product depend on the processor: equals are made equal.
    scores = np.round(scores, 6)
    kept = np.flatnonzero(scores >= floor)
    if len(kept) > count:
        cut = np.partition(scores[kept], len(kept) - count)[len(kept) - count]
        kept = kept[scores[kept] >= cut]
    order = kept[np.lexsort((seqs[kept], -scores[kept]))][:count]
    return Hits(seqs[order], scores[order])


class VectorTable:
    """The vectors of one embedder in one place, as a matrix. Not safe to share between threads.

    Reading 100 000 vectors of length 384 takes half a second once (154 MB); after that each search
    reads only what was added since. With `after`, only vectors behind that position.
    """

    def __init__(self, place: Place, embedder: EmbedderRow, *, after: int = 0) -> None:
        self._place = place
        self._embedder = embedder
        self._position = after
        self._count = 0
        self._seqs: Seqs = np.zeros(64, np.int64)
        self._matrix: Vectors = np.zeros((64, embedder.dimensions), np.float32)

    def __len__(self) -> int:
        return self._count

    def refresh(self, store: Store) -> None:
        """Read the vectors that were added since the last time, by any process."""
        rows = lookup.vectors(store, self._place, self._embedder.number, after=self._position)
        if not rows:
            return
        self._position = rows[-1][0]
        end = self._count + len(rows)
        if end > len(self._seqs):
            size = max(end, 2 * len(self._seqs))
            self._seqs = np.resize(self._seqs, size)
            grown = np.zeros((size, self._embedder.dimensions), np.float32)
            grown[: self._count] = self._matrix[: self._count]
            self._matrix = grown
        blobs = b"".join(row[2] for row in rows)
        self._seqs[self._count : end] = [row[1] for row in rows]
        self._matrix[self._count : end] = np.frombuffer(blobs, np.float32).reshape(len(rows), -1)
        self._count = end

    def search(self, vector: Vectors, allowed: Seqs | None, count: int) -> Hits:
        """Nearest by cosine among `allowed` (all if None), down to `EmbedderRow.least`.

        `vector` has shape [dimensions] and length 1.
        """
        seqs = self._seqs[: self._count]
        matrix = self._matrix[: self._count]
        if allowed is not None:
            mask = np.isin(seqs, allowed)
            seqs, matrix = seqs[mask], matrix[mask]
        # einsum: unlike BLAS it starts no threads and a row's result does not depend on the others.
        scores = np.einsum("ij,j->i", matrix, vector).astype(np.float64)
        return best(seqs, scores, count=count, floor=self._embedder.least)
