"""Rows of `run.db` as the vocabulary's objects, and back."""

import json
import sqlite3

from harness.attempt import Attempt, Operator, Status, verdict_from
from harness.events import Event, EventKind
from harness.ids import AgentId, AttemptId, CommitHash, RecordId, TreeHash
from harness.memory.base import LogEntry, ShownRecord
from harness.search.base import Directive


def dump(value: object) -> str:
    """Compact JSON with sorted keys; refuses NaN and infinities."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )


def attempt_from(row: sqlite3.Row) -> Attempt:
    """A row of `attempts`."""
    return Attempt(
        id=AttemptId(str(row["id"])),
        commit=CommitHash(row["commit_hash"]),
        tree=TreeHash(row["tree"]),
        agent=AgentId(row["agent"]),
        operator=Operator(row["operator"]),
        parents=tuple(AttemptId(parent) for parent in json.loads(row["parents"])),
        references=tuple(AttemptId(reference) for reference in json.loads(row["refs"])),
        title=row["title"],
        status=Status(row["status"]),
        created_at=row["created_at"],
        evaluated_at=row["evaluated_at"],
        verdict=verdict_from(json.loads(row["verdict"])) if row["verdict"] else None,
        duplicate_of=_attempt_id(row["duplicate_of"]),
        directive=row["directive"],
        detail=json.loads(row["detail"]),
    )


def event_from(row: sqlite3.Row) -> Event:
    """A row of `events`."""
    return Event(
        sequence=row["sequence"],
        at=row["at"],
        kind=EventKind(row["kind"]),
        agent=row["agent"],
        attempt=row["attempt"],
        data=json.loads(row["data"]),
    )


def directive_from(row: sqlite3.Row) -> Directive:
    """A row of `directives`."""
    return Directive(
        number=row["number"],
        operator=Operator(row["operator"]),
        base=AttemptId(str(row["base"])),
        references=tuple(AttemptId(reference) for reference in json.loads(row["refs"])),
        reason=row["reason"],
    )


def log_entry_from(row: sqlite3.Row, run: str) -> LogEntry:
    """A row of `memory_log`."""
    return LogEntry(
        at=row["at"],
        op=row["op"],
        run=run,
        agent=row["agent"],
        query=row["query"],
        records=tuple(
            ShownRecord(RecordId(shown["id"]), shown["rank"], shown["score"], shown.get("text", ""))
            for shown in json.loads(row["records"])
        ),
        attempt=_attempt_id(row["attempt"]),
    )


def shown_json(records: tuple[ShownRecord, ...]) -> str:
    """Shown records as the store keeps them."""
    return dump([{"id": r.id, "rank": r.rank, "score": r.score, "text": r.text} for r in records])


def _attempt_id(value: int | None) -> AttemptId | None:
    return None if value is None else AttemptId(str(value))
