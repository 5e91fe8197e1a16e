"""The run's store: its tables together, and what belongs to no table of its own."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.clock import Clock
from harness.events import EventKind
from harness.ids import AttemptId
from harness.memory.base import LogOp, ShownRecord
from harness.run import rows
from harness.run.accounts import AccountTable
from harness.run.attempts import AttemptTable
from harness.run.database import Database
from harness.run.directives import DirectiveTable
from harness.run.interventions import InterventionTable
from harness.run.members import MemberTable


class Command(NamedTuple):
    """An entry of the inbox."""

    id: int
    command: str
    arguments: Mapping[str, Any]


class Answer(NamedTuple):
    """What the run says to a command; a refused one (`done` false) says what is expected instead
    and what to do."""

    text: str
    done: bool = True
    expected: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """A line of the memory's log in the run."""

    op: LogOp
    agent: str
    query: str
    records: tuple[ShownRecord, ...]
    attempt: AttemptId | None = None
    directive: int | None = None
    once: bool = False
    """Whether it may be repeated after a kill: the first of its record is kept."""


class Store:
    """`run.db` by subject; see `Database` for what it promises."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.attempts = AttemptTable(database)
        self.directives = DirectiveTable(database)
        self.interventions = InterventionTable(database)
        self.accounts = AccountTable(database)
        self.members = MemberTable(database)

    @classmethod
    def create(cls, folder: Path, clock: Clock, meta: Mapping[str, str]) -> "Store":
        """A new store in an existing folder.

        Raises:
            StoreError: When there is one already.
        """
        return cls(Database.create(folder, clock, meta))

    @classmethod
    def open(cls, folder: Path, clock: Clock) -> "Store":
        """An existing store.

        Raises:
            StoreError: Missing, damaged, or written by another version.
        """
        return cls(Database.open(folder, clock))

    def close(self) -> None:
        """Leave one self-contained file."""
        self._db.close()

    def memory_log(self, *entries: MemoryEntry) -> None:
        """The run's own log of the memory, with the text of what was shown, in one transaction.

        Durable with the next directive, submission or verdict.
        """
        with self._db.transaction(durable=False) as db:
            for entry in entries:
                if entry.once and not _is_first(db, entry):
                    continue
                db.execute(
                    "INSERT INTO memory_log VALUES (NULL,?,?,?,?,?,?,?)",
                    (
                        self._db.now(),
                        entry.op,
                        entry.agent,
                        entry.query,
                        rows.shown_json(entry.records),
                        entry.attempt,
                        entry.directive,
                    ),
                )

    def agent_states(self, states: Mapping[str, tuple[str, str, float]]) -> None:
        """State, activity and since when (seconds since the epoch) of each agent; not durable."""
        with self._db.transaction(durable=False) as db:
            db.executemany(
                "INSERT OR REPLACE INTO agents VALUES (?,?,?,?)",
                [(agent, *state) for agent, state in states.items()],
            )

    def take_commands(self) -> list[Command]:
        """Commands of the inbox that have no answer yet."""
        found = self._db.read(
            "SELECT id, command, arguments FROM commands WHERE answer IS NULL ORDER BY id"
        ).fetchall()
        return [Command(row["id"], row["command"], json.loads(row["arguments"])) for row in found]

    def answer(self, command: Command, answer: Answer) -> None:
        """Answer a command and journal it."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE commands SET answer = ?, answered_at = ? WHERE id = ?",
                (rows.dump(answer._asdict()), self._db.now(), command.id),
            )
            self._db.event(
                EventKind.COMMAND,
                data={
                    "command": command.command,
                    "arguments": dict(command.arguments),
                    "done": answer.done,
                    "answer": answer.text,
                },
            )

    def event(self, kind: EventKind, *, agent: str | None = None, **data: Any) -> None:
        """Append to the journal."""
        with self._db.transaction():
            self._db.event(kind, agent=agent, data=data)

    def meta(self) -> dict[str, str]:
        """What was written at launch: ids, versions, where the private data lie."""
        return {row["key"]: row["value"] for row in self._db.read("SELECT * FROM meta")}

    def set_meta(self, key: str, value: str) -> None:
        """Change an entry of the meta data."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def without_memory(self) -> list[AttemptId]:
        """Judged attempts whose memory record was not written before a kill."""
        found = self._db.read(
            "SELECT id FROM attempts WHERE verdict IS NOT NULL AND id NOT IN (SELECT attempt FROM"
            " memory_log WHERE op = 'write' AND attempt IS NOT NULL) ORDER BY evaluated_at, id"
        ).fetchall()
        return [AttemptId(str(row["id"])) for row in found]


def _is_first(db: sqlite3.Connection, entry: MemoryEntry) -> bool:
    record = entry.records[0].id
    values = (entry.agent, f"memory/{record}", record)
    return db.execute("INSERT OR IGNORE INTO effects VALUES (?,?,?)", values).rowcount > 0
