"""Statements that write, each inside the caller's transaction."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.memory.base import LogOp, MemoryRecord
from harness.memory.embedders import Vectors
from harness.memory.rows import COLUMNS, to_row
from harness.memory.words import indexed, put


def insert(
    db: sqlite3.Connection,
    record: MemoryRecord,
    vector: Vectors | None,
    embedder: int,
    at: float,
) -> bool:
    found = indexed(record.title, record.text)
    row = to_row(record)
    marks = ",".join("?" * (len(row) + 1))
    added = db.execute(
        f"INSERT OR IGNORE INTO records ({COLUMNS}, length) VALUES ({marks})",
        (*row, found.length),
    )
    if added.rowcount == 0:
        return False
    seq = int(added.lastrowid or 0)
    put(db, seq, found, task=record.task, run=record.run, audience=record.audience)
    if vector is not None:
        put_vector(db, seq, embedder, vector)
    log_entry(db, at, "write", record.run, record.agent, "", record.attempt, [(seq, 1, 0.0)])
    return True


def put_vector(db: sqlite3.Connection, seq: int, embedder: int, vector: Vectors) -> None:
    blob = np.ascontiguousarray(vector, np.float32).tobytes()
    db.execute(
        "INSERT OR IGNORE INTO vectors (seq, embedder, vector) VALUES (?, ?, ?)",
        (seq, embedder, blob),
    )


def log_entry(
    db: sqlite3.Connection,
    at: float,
    op: LogOp,
    run: str,
    agent: str,
    query: str,
    attempt: str | None,
    shown: Iterable[tuple[int, int, float]],
    detail: Mapping[str, Any] | None = None,
) -> None:
    entry = db.execute(
        "INSERT INTO log (at, op, run, agent, query, attempt, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (at, op, run, agent, query, attempt, json.dumps(detail) if detail else ""),
    ).lastrowid
    db.executemany(
        "INSERT INTO shown (entry, seq, rank, score) VALUES (?, ?, ?, ?)",
        [(entry, seq, rank, score) for seq, rank, score in shown],
    )


def seqs(db: sqlite3.Connection, records: Sequence[str]) -> list[int]:
    """Sequence numbers of the records that are known, each once, in the order given."""
    found: dict[int, None] = {}
    for record in records:
        row = db.execute("SELECT seq FROM records WHERE id = ?", (record,)).fetchone()
        if row:
            found[int(row[0])] = None
    return list(found)
