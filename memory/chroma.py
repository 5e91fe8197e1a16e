"""Chroma's embedded index, fed from the store and thrown away when in doubt.

Chroma's embedded client is not safe for several processes (concurrent writers lose vectors without
an error, readers never see new ones), so only the process that holds `index.lock` opens it. All it
keeps can be made again from the store; its folder is versioned by a generation number because the
client caches what it opened by path for as long as the process lives.
"""

import fcntl
import json
import logging
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import numpy as np

from harness.memory import lookup
from harness.memory.dense import Seqs
from harness.memory.embedders import Vectors
from harness.memory.rows import EmbedderRow
from harness.memory.store import Store

_LOG = logging.getLogger(__name__)

BATCH = 500
"""Records fed at once: half a second to a second of Chroma's time."""
_COLLECTION = "records"
_PROGRESS = "progress.json"


class Progress(NamedTuple):
    """How far a generation of the index has come: vectors up to `position` are in it."""

    folder: Path
    embedder: str
    position: int


def progress(root: Path) -> Progress | None:
    """The newest generation below `root`; None without one or when its note cannot be read."""
    folder = max(root.glob("g*"), key=_generation, default=None)
    if folder is None:
        return None
    try:
        data = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
        return Progress(folder, str(data["embedder"]), int(data["position"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class IndexLock:
    """Held by the one process that may open the index; given back by the kernel when it dies."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    def taken(cls, root: Path) -> Self | None:
        """The lock, or None if another process has it."""
        root.mkdir(parents=True, exist_ok=True)
        file = (root / "index.lock").open("a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return cls(file)

    def release(self) -> None:
        self._file.close()


class ChromaIndex:
    """One collection; used by one thread at a time, in the process that holds the lock."""

    def __init__(self, collection: Any, folder: Path, embedder: EmbedderRow, position: int) -> None:
        self._collection = collection  # chromadb's types are incomplete
        self._folder = folder
        self._embedder = embedder
        self.position = position
        """Every vector up to this position of the store is in the index."""

    @classmethod
    def opened(cls, root: Path, store: Store, embedder: EmbedderRow) -> Self:
        """The index below `root`, made anew if it is missing, damaged or of another embedder."""
        last = progress(root)
        if last is not None and last.embedder == embedder.identity:
            index = cls._reopened(last, store, embedder)
            if index is not None:
                _drop_others(root, last.folder)
                return index
        newest = max((_generation(folder) for folder in root.glob("g*")), default=0)
        # A name never used before, also when somebody has deleted the folder of a live process.
        folder = root / f"g{newest + 1}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        collection = _client(folder).create_collection(
            _COLLECTION,
            configuration={"hnsw": {"space": "cosine"}},
            metadata={"embedder": embedder.identity},
            embedding_function=None,
        )
        index = cls(collection, folder, embedder, 0)
        index._note(0)
        _drop_others(root, folder)
        return index

    @classmethod
    def _reopened(cls, last: Progress, store: Store, embedder: EmbedderRow) -> Self | None:
        try:
            collection = _client(last.folder).get_collection(_COLLECTION, embedding_function=None)
            index = cls(collection, last.folder, embedder, last.position)
            index._verify(store)
        # Supervision point: Chroma's core reports damage by many errors and by Rust panics, which
        # are no Exception. Whatever it says, the index is made again.
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
                raise
            _LOG.warning("the dense index in %s is made again: %s", last.folder, error)
            return None
        return index

    def _verify(self, store: Store) -> None:
        """Compare with the store.

        Raises:
            ValueError: Vectors are missing, or the newest one is not found.
        """
        expected, newest = lookup.fed(store, self._embedder.number, self.position)
        held = self.count()
        # A crash between feeding and noting it leaves at most one batch more.
        if not expected <= held <= expected + BATCH:
            raise ValueError(f"{held} vectors instead of {expected}")
        if newest is not None and self.nearest(np.frombuffer(newest, np.float32), 1)[1] < 0.999:
            raise ValueError("a stored vector is not found")

    def count(self) -> int:
        """Vectors that it holds."""
        return int(self._collection.count())

    def feed(self, rows: Sequence[tuple[int, int, bytes]]) -> None:
        """Add (position, sequence number, vector) rows; repeatable."""
        matrix = np.frombuffer(b"".join(row[2] for row in rows), np.float32)
        self._collection.upsert(
            ids=[str(row[1]) for row in rows], embeddings=matrix.reshape(len(rows), -1)
        )
        self._note(rows[-1][0])

    def nearest(self, vector: Vectors, count: int) -> tuple[Seqs, float]:
        """Sequence numbers of about `count` nearest vectors and the cosine of the farthest."""
        answer = self._collection.query(
            query_embeddings=[vector], n_results=count, include=["distances"]
        )
        distances: list[float] = answer["distances"][0]
        seqs = np.array([int(name) for name in answer["ids"][0]], np.int64)
        return seqs, 1 - max(distances, default=2.0)

    def _note(self, position: int) -> None:
        path = self._folder / _PROGRESS
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump({"embedder": self._embedder.identity, "position": position}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        self.position = position


def _client(folder: Path) -> Any:
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(
        path=str(folder), settings=Settings(anonymized_telemetry=False)
    )


def _generation(folder: Path) -> int:
    number = folder.name[1:].partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _drop_others(root: Path, kept: Path) -> None:
    for folder in root.glob("g*"):
        if folder != kept:
            shutil.rmtree(folder, ignore_errors=True)
