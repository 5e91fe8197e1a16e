"""What came of recalls: which records pay, and what the tuning goes by."""

import json
import sqlite3
from typing import Any, NamedTuple

from harness.memory.rows import TRIALS
from harness.memory.store import Store


class Worth(NamedTuple):
    """How often a record was shown before an attempt, and before one that improved.

    `worth` is its rate less that of all records, shrunk towards nothing for few uses.
    """

    id: str
    kind: str
    title: str
    uses: int
    improved: int
    worth: float


def worth(store: Store, *, limit: int) -> list[Worth]:
    """Records that were shown: the `limit` best by what came of it, and the `limit` worst."""
    with store.reading() as db:
        usual = db.execute(
            "SELECT SUM(CASE WHEN outcome = 'improved' THEN count ELSE 0 END) * 1.0"
            " / SUM(count) FROM uses"
        ).fetchone()[0]
        rows = db.execute(
            "SELECT r.id, r.kind, r.title, SUM(u.count) AS shown,"
            " SUM(CASE WHEN u.outcome = 'improved' THEN u.count ELSE 0 END) AS improved"
            " FROM uses AS u JOIN records AS r ON r.seq = u.seq GROUP BY u.seq"
        ).fetchall()
    found: list[Worth] = []
    for name, kind, title, shown, improved in rows:
        rate = (improved + TRIALS * usual) / (shown + TRIALS)
        found.append(Worth(name, kind, title, shown, improved, rate - usual))
    found.sort(key=lambda each: (-each.worth, each.id))
    return found if len(found) <= 2 * limit else [*found[:limit], *found[-limit:]]


class Tuned(NamedTuple):
    """A decision of the tuning."""

    at: float
    reason: str
    state: dict[str, Any]


def tunings(store: Store, *, limit: int) -> list[Tuned]:
    """Decisions of the tuning, newest first."""
    with store.reading() as db:
        rows = db.execute(
            "SELECT at, reason, weights FROM tuning ORDER BY number DESC LIMIT ?", (limit,)
        ).fetchall()
    return [Tuned(at, reason, json.loads(state)) for at, reason, state in rows]


def newest_entry(db: sqlite3.Connection) -> int:
    """Number of the newest entry of the log; 0 without any."""
    return int(db.execute("SELECT COALESCE(MAX(number), 0) FROM log").fetchone()[0])


def served(db: sqlite3.Connection, since: int) -> list[tuple[bool, bool]]:
    """Recalls after a log entry that showed something and whose attempts have an outcome.

    Each as (on the side of a trial, the attempt improved).
    """
    # CROSS JOIN: the few new recalls first, then each one's credit, never all credits.
    rows = db.execute(
        "SELECT r.detail, c.query FROM log AS r CROSS JOIN log AS c"
        " WHERE r.number > ? AND r.op = 'recall' AND c.op = 'credit'"
        " AND c.run = r.run AND c.agent = r.agent AND c.attempt = r.attempt",
        (since,),
    ).fetchall()
    return [
        (bool(json.loads(detail).get("trial")), outcome == "improved")
        for detail, outcome in rows
        if detail
    ]
