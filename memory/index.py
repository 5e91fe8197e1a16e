"""The dense search of a memory: exact over the stored vectors."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from harness.memory.dense import Hits, Seqs, VectorTable
from harness.memory.embedders import Vectors
from harness.memory.rows import EmbedderRow, Place
from harness.memory.store import Store

_TABLES = 4


class DenseIndex:
    """Safe to call from several threads."""

    def __init__(self, store: Store, embedder: EmbedderRow) -> None:
        self._store = store
        self._embedder = embedder
        self._lock = threading.Lock()
        self._tables = OrderedDict[Place, VectorTable]()

    def search(self, place: Place, vector: Vectors, allowed: Seqs | None, count: int) -> Hits:
        """Nearest records by cosine, down to the embedder's floor."""
        with self._lock:
            table = self._tables.setdefault(place, VectorTable(place, self._embedder))
            self._tables.move_to_end(place)
            if len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
            table.refresh(self._store)
            return table.search(vector, allowed, count)

    def wake(self) -> None:
        """A record was written."""

    def state(self) -> Mapping[str, Any]:
        """Plain JSON."""
        return {"kind": "exact"}

    def close(self) -> None:
        """Let go of everything."""
