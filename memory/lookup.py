"""What the searches ask the store."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.memory.embedders import Vectors
from harness.memory.rows import Place
from harness.memory.store import Store
from harness.memory.words import BUCKETS


def vectors(
    store: Store, place: Place, embedder: int, *, after: int, limit: int = -1
) -> list[tuple[int, int, bytes]]:
    """(position, sequence number, float32 vector) added after position `after`, in order."""
    condition, values = place.condition()
    # The first read goes by the index on the place, later ones by position.
    tables = (
        "records AS r CROSS JOIN vectors AS v"
        if after == 0 and place.scope != "global"
        else "vectors AS v CROSS JOIN records AS r"
    )
    with store.reading() as db:
        return db.execute(
            f"SELECT v.position, v.seq, v.vector FROM {tables} WHERE r.seq = v.seq"
            f" AND v.embedder = ? AND v.position > ? AND {condition} ORDER BY v.position LIMIT ?",
            (embedder, after, *values, limit),
        ).fetchall()


def vectors_after(store: Store, embedder: int, position: int) -> int:
    """How many vectors were added after a position."""
    with store.reading() as db:
        row = db.execute(
            "SELECT COUNT(*) FROM vectors WHERE position > ? AND embedder = ?",
            (position, embedder),
        ).fetchone()
    return int(row[0])


def fed(store: Store, embedder: int, position: int) -> tuple[int, bytes | None]:
    """How many vectors there are up to a position, and the last of them."""
    where = "FROM vectors WHERE position <= ? AND embedder = ?"
    with store.reading() as db:
        count = db.execute(f"SELECT COUNT(*) {where}", (position, embedder)).fetchone()
        last = db.execute(
            f"SELECT vector {where} ORDER BY position DESC LIMIT 1", (position, embedder)
        ).fetchone()
    return int(count[0]), last[0] if last else None


def vectors_of(store: Store, embedder: int, seqs: Sequence[int]) -> dict[int, Vectors]:
    """Vectors by sequence number."""
    found: dict[int, Vectors] = {}
    with store.reading() as db:
        for chunk in _chunks(seqs):
            rows = db.execute(
                "SELECT seq, vector FROM vectors WHERE embedder = ?"
                f" AND seq IN ({','.join('?' * len(chunk))})",
                (embedder, *chunk),
            )
            found |= {seq: np.frombuffer(blob, np.float32) for seq, blob in rows}
    return found


def within(store: Store, place: Place, seqs: Sequence[int]) -> NDArray[np.int64]:
    """Those of `seqs` that are in a place."""
    condition, values = place.condition()
    found: list[int] = []
    with store.reading() as db:
        for chunk in _chunks(seqs):
            rows = db.execute(
                f"SELECT seq FROM records WHERE {condition}"
                f" AND seq IN ({','.join('?' * len(chunk))})",
                (*values, *chunk),
            )
            found += [row[0] for row in rows]
    return np.array(found, np.int64)


def lengths(store: Store, place: Place, *, after: int) -> list[tuple[int, int]]:
    """(sequence number, number of words) of the records in a place, from `after` on, in order."""
    condition, values = place.condition()
    with store.reading() as db:
        return db.execute(
            f"SELECT seq, length FROM records WHERE {condition} AND seq > ? ORDER BY seq",
            (*values, after),
        ).fetchall()


def more_than(store: Store, place: Place, count: int) -> bool:
    """Whether a place has more than `count` records."""
    condition, values = place.condition()
    with store.reading() as db:
        row = db.execute(
            f"SELECT COUNT(*) FROM (SELECT 1 FROM records WHERE {condition} LIMIT ?)",
            (*values, count + 1),
        ).fetchone()
    return int(row[0]) > count


def with_word(
    store: Store, place: Place, token: str, *, after: int, until: int, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Records in (after, until] with the word, about `limit` at most, and how often they have it.

    In order of sequence numbers. The counts are those of `words.BUCKETS`.
    """
    found: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float64]] = []
    left = limit
    with store.reading() as db:
        for bucket in BUCKETS:
            if left <= 0:
                break
            # One text instead of a row for each record: a third of the time.
            listed = db.execute(
                "SELECT group_concat(rowid) FROM (SELECT rowid FROM lexical"
                " WHERE lexical MATCH ? AND rowid > ? AND rowid <= ? LIMIT ?)",
                (f'{bucket.column} : "{token}"{place.words()}', after, until, left),
            ).fetchone()[0]
            seqs = np.fromstring(listed or "", np.int64, sep=",")
            found.append(seqs)
            weights.append(np.full(len(seqs), bucket.mean))
            left -= len(seqs)
    every, place_of = np.unique(np.concatenate(found), return_inverse=True)
    counts = np.bincount(place_of, weights=np.concatenate(weights), minlength=len(every))
    return every, counts.astype(np.float64)


def filtered(
    store: Store, place: Place, kinds: Sequence[str], outcomes: Sequence[str]
) -> list[int]:
    """Sequence numbers in a place of these kinds and outcomes (each empty: any)."""
    condition, values = place.condition()
    parameters: list[str] = [*values]
    for column, wanted in (("kind", kinds), ("outcome", outcomes)):
        if wanted:
            condition += f" AND {column} IN ({','.join('?' * len(wanted))})"
            parameters += wanted
    with store.reading() as db:
        rows = db.execute(f"SELECT seq FROM records WHERE {condition}", parameters).fetchall()
    return [row[0] for row in rows]


class Candidate(NamedTuple):
    """What ranking needs to know of a record."""

    seq: int
    author: tuple[str, str]
    """Run and agent."""
    kind: str
    outcome: str
    created_at: float
    vector: Vectors | None
    uses: int
    wins: int
    """How often it was shown before an attempt, and before one that improved."""


def candidates(store: Store, seqs: Sequence[int], embedder: int, run: str) -> dict[int, Candidate]:
    """By sequence number; without what is retired or for another run than `run` alone."""
    found: dict[int, Candidate] = {}
    with store.reading() as db:
        for chunk in _chunks(seqs):
            rows = db.execute(
                "SELECT r.seq, r.run, r.agent, r.kind, r.outcome, r.created_at, v.vector,"
                " (SELECT SUM(count) FROM uses AS u WHERE u.seq = r.seq),"
                " (SELECT count FROM uses AS u WHERE u.seq = r.seq AND u.outcome = 'improved')"
                " FROM records AS r LEFT JOIN vectors AS v"
                " ON v.seq = r.seq AND v.embedder = ?"
                " WHERE r.retired IS NULL AND (r.audience != 'run' OR r.run = ?)"
                f" AND r.seq IN ({','.join('?' * len(chunk))})",
                (embedder, run, *chunk),
            )
            for seq, by, agent, kind, outcome, created_at, blob, uses, wins in rows:
                vector = None if blob is None else np.frombuffer(blob, np.float32)
                found[seq] = Candidate(
                    seq, (by, agent), kind, outcome, created_at, vector, uses or 0, wins or 0
                )
    return found


def _chunks(seqs: Sequence[int], size: int = 500) -> Iterator[Sequence[int]]:
    """SQLite takes at most 999 parameters in older versions."""
    for start in range(0, len(seqs), size):
        yield seqs[start : start + size]
