"""Records out of a memory and into another one, as JSON Lines."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import UserError
from harness.ids import RecordId
from harness.memory.base import MemoryRecord, RecordKind
from harness.memory.embedders import Embedder
from harness.memory.rows import EmbedderRow, prepared
from harness.memory.store import Store

_BATCH = 256


_RECORD = TypeAdapter(MemoryRecord)


def plain(record: MemoryRecord) -> dict[str, Any]:
    """Plain JSON that `record_of` reads."""
    return {**asdict(record), "data": dict(record.data)}


def record_of(data: Any) -> MemoryRecord:
    """The record that `plain` wrote, or that another version or a person did.

    Raises:
        ValueError: Not a record.
    """
    try:
        found = _RECORD.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place or 'it'}: {first['msg']}") from error
    return prepared(found)


def exported(
    store: Store, *, kind: RecordKind | None, task: str | None, run: str | None
) -> Iterator[str]:
    """All records, one JSON line each, oldest first; what is retired says why."""
    gone = store.retired()
    records = [
        record
        for retired in (False, True)
        for record in store.records(kind=kind, task=task, run=run, limit=1_000_000, retired=retired)
    ]
    for record in sorted(records, key=lambda each: (each.created_at, each.id)):
        yield json.dumps({**plain(record), "retired": gone.get(record.id)}, ensure_ascii=False)


def imported(
    store: Store, embedder: Embedder, row: EmbedderRow, lines: Sequence[str], *, at: float
) -> int:
    """Add records from lines that `exported` made; how many were new. All or none.

    Raises:
        UserError: A line is no record.
    """
    records: list[MemoryRecord] = []
    gone: dict[RecordId, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            record = record_of(data)
        except ValueError as error:
            raise UserError(
                f"line {number} is no memory record: {error}",
                expected="JSON Lines as `harness memory export` writes them",
                action="export again, or take the line out",
            ) from error
        records.append(record)
        if data.get("retired"):
            gone[record.id] = str(data["retired"])
    return add(store, embedder, row, records, at=at, retired=gone)


def add(
    store: Store,
    embedder: Embedder,
    row: EmbedderRow,
    records: Sequence[MemoryRecord],
    *,
    at: float,
    retired: dict[RecordId, str] | None = None,
) -> int:
    """Add prepared records; how many were new."""
    new = 0
    fresh = [each for each in records if not store.exists(each.id)]
    for start in range(0, len(fresh), _BATCH):
        batch = fresh[start : start + _BATCH]
        vectors = embedder.embed([f"{each.title}\n{each.text}" for each in batch])
        new += store.insert_all(batch, vectors, row.number, at)
    for record in fresh:
        if retired and record.id in retired:
            store.retire(record.id, retired[record.id], at=at)
    return new
