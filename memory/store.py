"""The memory's truth: records, vectors, words, the log and the use counts, in one SQLite file."""

import json
import sqlite3
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from harness.errors import StoreError
from harness.ids import RecordId
from harness.memory import statements
from harness.memory.base import LogEntry, LogOp, MemoryRecord, RecordKind, ShownRecord
from harness.memory.embedders import Vectors
from harness.memory.rows import COLUMNS, EmbedderRow, from_row
from harness.memory.text import clean
from harness.memory.words import index_all

_QUERY_CHARS = 4_000


class Store:
    """One connection behind a lock: blocking, safe to call from several threads and processes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """The connection, for this thread alone."""
        with self._lock:
            yield self._connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Generator[sqlite3.Connection]:
        """One transaction; rolled back on any error.

        Not `durable`: a power cut may undo it (SIGKILL never does), and nothing waits for the disk.
        `BEGIN IMMEDIATE`: a read that becomes a write fails at once when another process writes.
        """
        with self._lock:
            try:
                level = "FULL" if durable else "NORMAL"
                self._connection.execute(f"PRAGMA synchronous={level}")
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.DatabaseError):
                    path = self._connection.execute("PRAGMA database_list").fetchone()[2]
                    wrong = f"the memory {path} cannot be written: {error}"
                    raise StoreError(wrong) from error
                raise

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            self._connection.close()

    # -- embedders

    def embedder(self) -> EmbedderRow | None:
        """The embedder that this memory's vectors come from; None in a new memory."""
        with self.reading() as db:
            row = db.execute(
                "SELECT number, identity, dimensions, noise, floor FROM embedders"
                " WHERE identity = (SELECT value FROM meta WHERE key = 'embedder')"
            ).fetchone()
        return EmbedderRow(*row) if row else None

    def set_embedder(
        self, identity: str, dimensions: int, noise: float, floor: float
    ) -> EmbedderRow:
        """Make this the embedder of the memory; vectors of others stay until `drop_vectors`."""
        with self.writing() as db:
            db.execute(
                "INSERT INTO embedders (identity, dimensions, noise, floor) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (identity) DO UPDATE"
                " SET noise = excluded.noise, floor = excluded.floor",
                (identity, dimensions, noise, floor),
            )
            db.execute("INSERT OR REPLACE INTO meta VALUES ('embedder', ?)", (identity,))
        row = self.embedder()
        if row is None:
            raise StoreError("the memory lost its embedder")
        return row

    # -- writing

    def exists(self, record: RecordId) -> bool:
        with self.reading() as db:
            return (
                db.execute("SELECT 1 FROM records WHERE id = ?", (record,)).fetchone() is not None
            )

    def insert(
        self, record: MemoryRecord, vector: Vectors | None, embedder: int, at: float
    ) -> bool:
        """Record, vector, words and log entry in one transaction; False if the id was there.

        Durable (0.2 ms): a note exists nowhere else.

        `record` comes from `prepared`; `vector` has shape [dimensions].
        """
        with self.writing() as db:
            return statements.insert(db, record, vector, embedder, at)

    def insert_all(
        self, records: Sequence[MemoryRecord], vectors: Vectors | None, embedder: int, at: float
    ) -> int:
        """As `insert`, all in one transaction; how many were new."""
        with self.writing() as db:
            return sum(
                statements.insert(
                    db, record, None if vectors is None else vectors[row], embedder, at
                )
                for row, record in enumerate(records)
            )

    def put_vectors(self, seqs: Sequence[int], embedder: int, vectors: Vectors) -> None:
        """Add vectors that were missing."""
        with self.writing() as db:
            for seq, vector in zip(seqs, vectors, strict=True):
                statements.put_vector(db, seq, embedder, vector)

    def without_vector(self, embedder: int, limit: int) -> list[tuple[int, str]]:
        """(sequence number, text to embed) of records that have no vector of this embedder."""
        with self.reading() as db:
            rows: list[tuple[int, str, str]] = db.execute(
                "SELECT seq, title, text FROM records WHERE seq NOT IN"
                " (SELECT seq FROM vectors WHERE embedder = ?) ORDER BY seq LIMIT ?",
                (embedder, limit),
            ).fetchall()
        return [(seq, f"{title}\n{text}") for seq, title, text in rows]

    def drop_vectors(self, *, but: int) -> None:
        """Delete the vectors of all embedders but one."""
        with self.writing() as db:
            db.execute("DELETE FROM vectors WHERE embedder != ?", (but,))
            db.execute("DELETE FROM embedders WHERE number != ?", (but,))

    def rebuild_words(self) -> None:
        """Make the lexical index again from the records."""
        with self.writing() as db:
            index_all(db)

    def log_shown(
        self,
        op: LogOp,
        *,
        at: float,
        run: str,
        agent: str,
        query: str,
        shown: Iterable[tuple[int, int, float]],
        attempt: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """One log entry; `shown` has (sequence number, rank, score), `detail` is plain JSON.

        Not durable: a run keeps its own log of what its agents were shown.
        """
        with self.writing(durable=False) as db:
            text = clean(query, limit=_QUERY_CHARS)
            statements.log_entry(db, at, op, run, agent, text, attempt, shown, detail)

    def credit(
        self, *, at: float, run: str, agent: str, attempt: str, outcome: str, records: Sequence[str]
    ) -> None:
        """Log a credit, count the uses and put the attempt's name to the recalls that served it."""
        with self.writing() as db:
            done = db.execute(
                "SELECT 1 FROM log WHERE op = 'credit' AND run = ? AND agent = ? AND attempt = ?",
                (run, agent, attempt),
            ).fetchone()
            if done:
                return
            seqs = statements.seqs(db, records)
            shown = [(seq, rank, 0.0) for rank, seq in enumerate(seqs, 1)]
            statements.log_entry(db, at, "credit", run, agent, outcome, attempt, shown)
            for seq in seqs:
                db.execute(
                    "INSERT INTO uses VALUES (?, ?, 1)"
                    " ON CONFLICT (seq, outcome) DO UPDATE SET count = count + 1",
                    (seq, outcome),
                )
                db.execute(
                    "UPDATE log SET attempt = ? WHERE op = 'recall' AND run = ? AND agent = ?"
                    " AND attempt IS NULL"
                    " AND EXISTS (SELECT 1 FROM shown WHERE entry = log.number AND shown.seq = ?)",
                    (attempt, run, agent, seq),
                )

    def cite(
        self, *, at: float, run: str, agent: str, attempt: str | None, records: Sequence[str]
    ) -> None:
        """Log that an agent named these records as what it built on."""
        with self.writing() as db:
            shown = [(seq, rank, 0.0) for rank, seq in enumerate(statements.seqs(db, records), 1)]
            statements.log_entry(db, at, "cite", run, agent, "", attempt, shown)

    def retire(self, record: str, why: str, *, at: float) -> None:
        """Recall a record no longer; it stays, and `restore` brings it back."""
        self._mark(record, why, "forget", why, at)

    def restore(self, record: str, *, at: float) -> None:
        """Recall a retired record again."""
        self._mark(record, None, "restore", "", at)

    def _mark(self, record: str, retired: str | None, op: LogOp, why: str, at: float) -> None:
        with self.writing() as db:
            done = db.execute(
                "UPDATE records SET retired = ? WHERE id = ? AND (retired IS NULL) = ?",
                (retired, record, retired is not None),
            )
            if done.rowcount:
                row = db.execute("SELECT seq, run FROM records WHERE id = ?", (record,)).fetchone()
                statements.log_entry(
                    db, at, op, row[1], "", clean(why, limit=_QUERY_CHARS), None, [(row[0], 1, 0)]
                )

    # -- reading

    def retired(self, *, limit: int = 1_000_000) -> dict[str, str]:
        """Why records are retired, by id; the newest first."""
        with self.reading() as db:
            rows: list[tuple[str, str]] = db.execute(
                "SELECT id, retired FROM records WHERE retired IS NOT NULL"
                " ORDER BY seq DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return dict(rows)

    def find(self, prefix: str) -> MemoryRecord:
        """The record whose id is or begins with `prefix`.

        Raises:
            KeyError: None, or several.
        """
        with self.reading() as db:
            rows = db.execute(
                f"SELECT {COLUMNS} FROM records WHERE id = ?1 OR substr(id, 1, length(?1)) = ?1"
                " ORDER BY id != ?1, seq LIMIT 2",
                (prefix,),
            ).fetchall()
        if not prefix or not rows or (len(rows) > 1 and rows[0][0] != prefix):
            found = "several records" if prefix and rows else "no record"
            raise KeyError(f"{found} with an id that begins with {prefix!r}")
        return from_row(rows[0])

    def records(
        self,
        *,
        kind: RecordKind | None,
        task: str | None,
        run: str | None,
        limit: int,
        retired: bool = False,
    ) -> list[MemoryRecord]:
        """Newest first; those that are recalled, or those that are `retired`."""
        terms, values = _conditions(kind=kind, task=task, run=run)
        with self.reading() as db:
            rows = db.execute(
                f"SELECT {COLUMNS} FROM records WHERE {terms}"
                f" AND retired IS {'NOT NULL' if retired else 'NULL'}"
                " ORDER BY seq DESC LIMIT ?",
                (*values, limit),
            ).fetchall()
        return [from_row(row) for row in rows]

    def ids(self) -> list[str]:
        """Ids of all records, also of those that are retired, oldest first."""
        with self.reading() as db:
            return [row[0] for row in db.execute("SELECT id FROM records ORDER BY seq")]

    def seqs(self, records: Sequence[str]) -> list[int]:
        """Sequence numbers of records that are there, in the order given."""
        with self.reading() as db:
            return statements.seqs(db, records)

    def by_seq(self, seqs: Sequence[int]) -> dict[int, MemoryRecord]:
        """Records by sequence number."""
        marks = ",".join("?" * len(seqs))
        with self.reading() as db:
            rows = db.execute(
                f"SELECT seq, {COLUMNS} FROM records WHERE seq IN ({marks})", tuple(seqs)
            ).fetchall()
        return {row[0]: from_row(row[1:]) for row in rows}

    def log(self, *, run: str | None, attempt: str | None, limit: int) -> list[LogEntry]:
        """The newest `limit` entries, oldest first."""
        terms, values = _conditions(run=run, attempt=attempt)
        with self.reading() as db:
            # One statement, so that entries and what they show are of one moment.
            rows = db.execute(
                "SELECT l.number, l.at, l.op, l.run, l.agent, l.query, l.attempt, l.detail,"
                " r.id, s.rank, s.score, r.title, r.text FROM"
                f" (SELECT * FROM log WHERE {terms} ORDER BY number DESC LIMIT ?) AS l"
                " LEFT JOIN shown AS s ON s.entry = l.number"
                " LEFT JOIN records AS r ON r.seq = s.seq ORDER BY l.number, s.rank",
                (*values, limit),
            ).fetchall()
        entries: dict[int, LogEntry] = {}
        for number, *head, detail, record, rank, score, title, text in rows:
            entry = entries.get(number)
            if entry is None:
                at, op, run_, agent, query, attempt_ = head
                told: dict[str, Any] = json.loads(detail) if detail else {}
                entry = LogEntry(at, op, run_, agent, query, (), attempt_, told)
            if record is not None:
                shown = ShownRecord(RecordId(record), rank, score, f"{title}\n{text}")
                entry = replace(entry, records=(*entry.records, shown))
            entries[number] = entry
        return list(entries.values())

    def uses(self, record: str) -> dict[str, int]:
        """How often a record was shown before an attempt, by what came of the attempt."""
        with self.reading() as db:
            rows: list[tuple[str, int]] = db.execute(
                "SELECT outcome, count FROM uses WHERE seq = (SELECT seq FROM records WHERE id = ?)"
                " ORDER BY outcome",
                (record,),
            ).fetchall()
        return dict(rows)

    def counts(self) -> dict[str, Any]:
        """Plain JSON: records by kind and task, log entries by operation, vectors, uses."""
        with self.reading() as db:

            def grouped(table: str, column: Literal["kind", "task", "op"]) -> dict[str, int]:
                sql = f"SELECT {column}, COUNT(*) FROM {table} GROUP BY 1 ORDER BY 1"
                return dict(db.execute(sql).fetchall())

            def single(sql: str) -> int:
                return int(db.execute(sql).fetchone()[0] or 0)

            log = grouped("log", "op")
            return {
                "records": single("SELECT COUNT(*) FROM records"),
                "kinds": grouped("records", "kind"),
                "tasks": grouped("records", "task"),
                "runs": single("SELECT COUNT(DISTINCT run) FROM records WHERE run != ''"),
                "recalls": log.get("recall", 0),
                "log": log,
                "uses": single("SELECT SUM(count) FROM uses"),
                "retired": single("SELECT COUNT(*) FROM records WHERE retired IS NOT NULL"),
                "vectors": single(
                    "SELECT COUNT(*) FROM vectors WHERE embedder = (SELECT number FROM embedders"
                    " WHERE identity = (SELECT value FROM meta WHERE key = 'embedder'))"
                ),
                "words": single("SELECT COUNT(*) FROM lexical"),
            }


def _conditions(**columns: str | None) -> tuple[str, list[str]]:
    given = {column: value for column, value in columns.items() if value is not None}
    return " AND ".join(f"{column} = ?" for column in given) or "1", list(given.values())
