"""The memory of the test tool's context: notes and skills of one agent, found by their words."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.ids import AgentId, RecordId
from harness.memory.base import MemoryRecord, Recalled, RecordKind


class LocalNotes:
    """Records by the key they were written with, in order of writing."""

    def __init__(self, task: str, agent: AgentId) -> None:
        self._task = task
        self._agent = agent
        self._records: dict[str, MemoryRecord] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def __getitem__(self, key: str) -> MemoryRecord:
        return self._records[key]

    def all(self) -> list[MemoryRecord]:
        return list(self._records.values())

    def add(self, entry: Mapping[str, Any], now: float) -> None:
        """Keep the note or skill of a journal entry; `now` is in seconds since the epoch."""
        self._records[entry["key"]] = MemoryRecord(
            id=RecordId(f"{len(self._records):032x}"),
            kind=RecordKind(entry["kind"]),
            title=entry["title"],
            text=entry["text"],
            task=self._task,
            run="local",
            agent=self._agent,
            created_at=now,
            data={name: entry[name] for name in ("files", "check") if name in entry},
        )

    def sharing_words(
        self, text: str, limit: int, kinds: Sequence[RecordKind] = ()
    ) -> list[Recalled]:
        """The first `limit` records that share a word with `text`, of `kinds` if any are named."""
        words = set(text.lower().split())
        found = [
            record
            for record in self._records.values()
            if (not kinds or record.kind in kinds)
            and words & set(f"{record.title} {record.text}".lower().split())
        ]
        return _ranked(found[:limit])

    def newest(self, limit: int) -> list[Recalled]:
        """The last `limit` records, in order of writing."""
        return _ranked(self.all()[-limit:])

    def named(self, start: str) -> MemoryRecord:
        """The one record whose id begins with `start`.

        Raises:
            KeyError: No record's id does, or several do.
        """
        found = [each for each in self._records.values() if each.id.startswith(start)]
        if len(found) != 1:
            raise KeyError(start)
        return found[0]


def _ranked(records: Sequence[MemoryRecord]) -> list[Recalled]:
    return [Recalled(record, rank, 1 / rank) for rank, record in enumerate(records, 1)]
