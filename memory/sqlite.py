"""The memory on SQLite: what `open_memory` gives."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from harness.clock import Clock
from harness.errors import InfrastructureError
from harness.ids import RecordId
from harness.memory.base import (
    LogEntry,
    MemoryRecord,
    Recalled,
    RecallQuery,
    RecordKind,
    Scope,
)
from harness.memory.consolidate import consolidate
from harness.memory.embedders import Embedder, Vectors
from harness.memory.index import DenseIndex
from harness.memory.lexical import LexicalIndex
from harness.memory.ranking import Weights
from harness.memory.recall import Found, Recaller
from harness.memory.rows import EmbedderRow, Place, prepared
from harness.memory.server import sync
from harness.memory.store import Store
from harness.memory.text import one_line
from harness.memory.tuning import Tuner
from harness.redact import redact

_LOG = logging.getLogger(__name__)
_BACKFILL = 256
LOGGED_CANDIDATES = 32
"""Best candidates of a recall that are kept in the log, shown or not."""

T = TypeVar("T")


class SqliteMemory:
    """See `harness.memory.base.Memory`. Made by `open_memory` and `open_memory_readonly`.

    Every method does its work in `executor`. An embedder that does not answer loses nothing: the
    record is kept and found by its words, its vector is added when the embedder answers again.
    Read-only: nothing is written, so recalls are not logged.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        embedder: Embedder,
        row: EmbedderRow,
        scope: Scope,
        *,
        executor: Executor,
        clock: Clock,
        index: DenseIndex,
        tuner: Tuner,
        url: str | None = None,
        readonly: bool = False,
    ) -> None:
        self.folder = folder
        self._store = store
        self._embedder = embedder
        self._row = row
        self._scope: Scope = scope
        self._executor = executor
        self._clock = clock
        self._index = index
        self._recaller = Recaller(store, LexicalIndex(store), index, row)
        self._tuner = tuner
        self._readonly = readonly
        self._url = url
        self._behind = threading.Event()
        self._behind.set()
        self._closed = False

    async def write(self, record: MemoryRecord) -> None:
        """Add a record (no effect if its id exists).

        Raises:
            ValueError: An id, score or data that cannot be kept.
            StoreError: The memory cannot be written.
        """
        # Before the embedder and the words see it, as before the disk does.
        clean = replace(record, title=redact(record.title), text=redact(record.text))
        await self._do(lambda: self._write(prepared(clean)))

    async def recall(self, query: RecallQuery) -> list[Recalled]:
        """What bears on the query, best first; nothing rather than something unrelated."""
        clean = replace(query, text=redact(query.text))
        return await self._do(lambda: self._recall(clean))

    async def credit(
        self, run: str, agent: str, attempt: str, outcome: str, records: Sequence[RecordId]
    ) -> None:
        """Once per run, agent and attempt; the log entry's `query` is the outcome."""

        def work() -> None:
            now = self._clock.now()
            self._store.credit(
                at=now, run=run, agent=agent, attempt=attempt, outcome=outcome, records=records
            )
            self._tuner.advance(now)

        await self._do(work)

    async def cite(
        self, run: str, agent: str, records: Sequence[RecordId], *, attempt: str | None = None
    ) -> None:
        """Log that an agent named these records as what it built on."""
        await self._do(
            lambda: self._store.cite(
                at=self._clock.now(), run=run, agent=agent, attempt=attempt, records=records
            )
        )

    async def consolidate(self, task: str) -> Mapping[str, int]:
        """Turn a task's attempts into insights and retire what is said twice or contradicted."""
        name = one_line(task, limit=200)
        return await self._do(
            lambda: consolidate(self._store, self._embedder, self._row, name, at=self._clock.now())
        )

    async def retire(self, record: RecordId, why: str) -> None:
        """Recall a record no longer; it stays and `restore` brings it back."""
        await self._do(lambda: self._store.retire(record, why, at=self._clock.now()))

    async def restore(self, record: RecordId) -> None:
        """Recall a retired record again."""
        await self._do(lambda: self._store.restore(record, at=self._clock.now()))

    async def get(self, record: str) -> MemoryRecord:
        """The record with this id or unambiguous prefix.

        Raises:
            KeyError: No such record, or several.
        """
        return await self._do(lambda: self._store.find(record))

    async def records(
        self,
        *,
        kind: RecordKind | None = None,
        task: str | None = None,
        run: str | None = None,
        limit: int = 100,
    ) -> list[MemoryRecord]:
        """Newest first."""
        return await self._do(
            lambda: self._store.records(kind=kind, task=task, run=run, limit=limit)
        )

    async def log(
        self, *, run: str | None = None, attempt: str | None = None, limit: int = 1000
    ) -> list[LogEntry]:
        """The newest `limit` entries of the log, oldest first."""
        return await self._do(lambda: self._store.log(run=run, attempt=attempt, limit=limit))

    async def uses(self, record: RecordId) -> Mapping[str, int]:
        """How often a record was shown before an attempt, by what came of the attempt."""
        return await self._do(lambda: self._store.uses(record))

    async def stats(self) -> Mapping[str, Any]:
        """Counts, embedder, index and size on disk; plain JSON."""
        return await self._do(self._stats)

    async def close(self) -> None:
        """Feed what is worth feeding to the dense index, then let go of everything."""
        if self._closed:
            return
        self._closed = True
        await self._do(self._close)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _write(self, record: MemoryRecord) -> None:
        if self._store.exists(record.id):
            return
        vectors = self._embed([f"{record.title}\n{record.text}"])
        vector = None if vectors is None else vectors[0]
        self._store.insert(record, vector, self._row.number, self._clock.now())
        if vector is None:
            self._behind.set()
        self._index.wake()

    def _recall(self, query: RecallQuery) -> list[Recalled]:
        names = {"run": query.run, "task": query.task, "global": ""}
        place = Place(self._scope, one_line(names[self._scope], limit=200))
        vectors = self._embed([query.text]) if query.limit > 0 else None
        if vectors is not None and not self._readonly:
            self._backfill()
        weights, trial = self._tuner.weights()
        found = self._recaller.recall(
            query, place, None if vectors is None else vectors[0], weights
        )
        if not self._readonly:
            self._log(query, found, weights, trial=trial)
        records = self._store.by_seq([each.candidate.seq for each in found.chosen])
        return [
            Recalled(records[each.candidate.seq], rank, each.score)
            for rank, each in enumerate(found.chosen, 1)
        ]

    def _log(self, query: RecallQuery, found: Found, weights: Weights, *, trial: bool) -> None:
        """Keep what was asked, what was found, and why what was shown was chosen."""
        considered = found.candidates[:LOGGED_CANDIDATES]
        self._store.log_shown(
            "recall",
            at=self._clock.now(),
            run=query.run,
            agent=query.agent,
            query=query.text,
            shown=[
                (each.candidate.seq, rank, each.score) for rank, each in enumerate(found.chosen, 1)
            ],
            detail={
                "purpose": query.purpose,
                "weights": weights.plain(),
                "trial": trial,
                "found": len(found.candidates),
                "candidates": [
                    [
                        each.candidate.seq,
                        *(round(part, 4) for part in (each.lexical, each.dense, each.prior)),
                        each.score,
                    ]
                    for each in considered
                ],
            },
        )

    def _embed(self, texts: Sequence[str]) -> Vectors | None:
        try:
            return self._embedder.embed(texts)
        except InfrastructureError as error:
            _LOG.warning("the memory goes on without its embedder for now: %s", error)
            return None

    def _backfill(self) -> None:
        """Embed records that were written while the embedder did not answer, here or elsewhere."""
        if not self._behind.is_set():
            return
        self._behind.clear()
        missing = self._store.without_vector(self._row.number, _BACKFILL)
        if not missing:
            return
        vectors = self._embed([text for _, text in missing])
        if vectors is not None:
            self._store.put_vectors([seq for seq, _ in missing], self._row.number, vectors)
        if vectors is None or len(missing) == _BACKFILL:
            self._behind.set()

    def _stats(self) -> Mapping[str, Any]:
        return describe(self.folder, self._store) | {"index": dict(self._index.state())}

    def sync(self) -> None:
        """Exchange records with the server of `memory.url`, if there is one. Blocking.

        A server that does not answer costs nothing but its news.
        """
        if self._url is None:
            return
        try:
            found = sync(self._store, self._row, self._url, at=self._clock.now())
        except InfrastructureError as error:
            _LOG.warning("%s", error)
        else:
            _LOG.info("memory: %d records sent, %d taken", found["sent"], found["taken"])

    def _close(self) -> None:
        self.sync()
        self._index.close()
        self._store.close()


def describe(folder: Path, store: Store) -> dict[str, Any]:
    """Counts, embedder and size on disk of the memory in `folder`; plain JSON."""
    row = store.embedder()
    return {
        "folder": str(folder),
        "embedder": row.identity if row else None,
        "relevance_floor": round(row.floor, 4) if row else None,
        **store.counts(),
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }
