"""What the searches ask the store."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.memory.embedders import Vectors
from harness.memory.rows import Place
from harness.memory.store import Store


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


def extent(store: Store, place: Place) -> tuple[int, int]:
    """Newest sequence number in a place (0 if none) and how many records it has."""
    condition, values = place.condition()
    with store.reading() as db:
        row = db.execute(
            f"SELECT MAX(seq), COUNT(*) FROM records WHERE {condition}", values
        ).fetchone()
    return int(row[0] or 0), int(row[1])


def with_word(
    store: Store, place: Place, token: str, *, after: int, until: int, limit: int
) -> list[int]:
    """Sequence numbers in (after, until] of at most `limit` records in a place with the word."""
    match = f'words : "{token}"'
    if place.scope != "global":
        match += f' AND place : "{place.token}"'
    with store.reading() as db:
        rows = db.execute(
            "SELECT rowid FROM lexical WHERE lexical MATCH ? AND rowid > ? AND rowid <= ? LIMIT ?",
            (match, after, until, limit),
        ).fetchall()
    return [row[0] for row in rows]


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


def candidates(
    store: Store, seqs: Sequence[int], embedder: int
) -> dict[int, tuple[tuple[str, str], Vectors | None]]:
    """For each sequence number the author (run, agent) and the vector, if there is one."""
    found: dict[int, tuple[tuple[str, str], Vectors | None]] = {}
    with store.reading() as db:
        for chunk in _chunks(seqs):
            rows = db.execute(
                "SELECT r.seq, r.run, r.agent, v.vector FROM records AS r LEFT JOIN vectors AS v"
                " ON v.seq = r.seq AND v.embedder = ?"
                f" WHERE r.seq IN ({','.join('?' * len(chunk))})",
                (embedder, *chunk),
            )
            for seq, run, agent, blob in rows:
                vector = None if blob is None else np.frombuffer(blob, np.float32)
                found[seq] = ((run, agent), vector)
    return found


def _chunks(seqs: Sequence[int], size: int = 500) -> Iterator[Sequence[int]]:
    """SQLite takes at most 999 parameters in older versions."""
    for start in range(0, len(seqs), size):
        yield seqs[start : start + size]
