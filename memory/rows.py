"""Records as rows, and the small values that the store deals in."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

from harness.ids import RecordId
from harness.memory.base import MemoryRecord, RecordKind, Scope
from harness.memory.text import MAX_TEXT_CHARS, MAX_TITLE_CHARS, clean, one_line

MAX_DATA_CHARS = 16_000
MAX_NAME_CHARS = 200
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")

COLUMNS = (
    "id, kind, title, text, task, run, agent, created_at, attempt, score, outcome, data, audience"
)


TRIALS = 6.0
"""A record's own rate of improvements counts as much as the others' after so many uses."""
FOR_ALL = "forall"
"""The word that stands in the lexical index for records that all tasks may recall."""


class EmbedderRow(NamedTuple):
    """An embedder as the memory knows it.

    `noise` is the mean cosine of unrelated texts, `floor` the cosine from which texts are related.
    """

    number: int
    identity: str
    dimensions: int
    noise: float
    floor: float

    @property
    def least(self) -> float:
        """The cosine down to which a record is looked at; the words decide with it."""
        return (self.noise + self.floor) / 2


class Place(NamedTuple):
    """What a recall may see: all records, or those of one task or run."""

    scope: Scope
    name: str = ""

    @property
    def token(self) -> str:
        """The word that stands for the place in the lexical index."""
        digest = blake2b(self.name.encode("utf-8", "replace"), digest_size=12).hexdigest()
        return f"{self.scope}{digest}"

    def condition(self) -> tuple[str, tuple[str, ...]]:
        """SQL over `records` and its parameters."""
        if self.scope == "global":
            return "1", ()
        if self.scope == "task":
            return "(task = ? OR audience = 'global')", (self.name,)
        return "run = ?", (self.name,)

    def words(self) -> str:
        """The condition as an expression of FTS5 that follows another one; empty for all."""
        if self.scope == "global":
            return ""
        tokens = f'"{self.token}"' + (f' OR "{FOR_ALL}"' if self.scope == "task" else "")
        return f" AND place : ({tokens})"


def prepared(record: MemoryRecord) -> MemoryRecord:
    """`record` as it is kept: cleaned and capped.

    Raises:
        ValueError: An id, score or data that cannot be kept.
    """
    if not _ID.fullmatch(record.id):
        raise ValueError(f"a record's id is 1 to 64 letters, digits, - or _, not {record.id!r}")
    if record.score is not None and not math.isfinite(record.score):
        raise ValueError(f"a record's score is finite, not {record.score!r}")
    data = json.dumps(dict(record.data), allow_nan=False)
    return replace(
        record,
        title=one_line(record.title, limit=MAX_TITLE_CHARS),
        text=clean(record.text, limit=MAX_TEXT_CHARS),
        task=one_line(record.task, limit=MAX_NAME_CHARS),
        run=one_line(record.run, limit=MAX_NAME_CHARS),
        agent=one_line(record.agent, limit=MAX_NAME_CHARS),
        outcome=one_line(record.outcome, limit=MAX_NAME_CHARS),
        data=record.data if len(data) <= MAX_DATA_CHARS else {"cut_chars": len(data)},
    )


def to_row(record: MemoryRecord) -> tuple[object, ...]:
    """Values in the order of `COLUMNS`."""
    return (
        record.id,
        record.kind.value,
        record.title,
        record.text,
        record.task,
        record.run,
        record.agent,
        record.created_at,
        record.attempt,
        record.score,
        record.outcome,
        json.dumps(dict(record.data), allow_nan=False),
        record.audience,
    )


def from_row(row: Sequence[Any]) -> MemoryRecord:
    """The record whose `COLUMNS` are `row`."""
    id_, kind, title, text, task, run, agent, created_at, attempt, score, outcome, data, who = row
    return MemoryRecord(
        id=RecordId(id_),
        kind=RecordKind(kind),
        title=title,
        text=text,
        task=task,
        run=run,
        agent=agent,
        created_at=created_at,
        attempt=attempt,
        score=score,
        outcome=outcome,
        data=json.loads(data),
        audience=who,
    )
