"""Directives in the store: opened, shown with memory records, closed."""

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from harness.events import EventKind
from harness.ids import AgentId
from harness.run import rows
from harness.run.database import Database
from harness.search.base import Directive


class OpenDirective(NamedTuple):
    """A directive an agent has not finished, and the memory records shown with it."""

    agent: AgentId
    directive: Directive
    recalled: tuple[str, ...]


class DirectiveTable:
    """At most one open directive an agent."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def next_number(self) -> int:
        """Number of the next directive, from 1."""
        row = self._db.read("SELECT COALESCE(MAX(number), 0) + 1 FROM directives").fetchone()
        return int(row[0])

    def open(self, agent: AgentId, directive: Directive) -> None:
        """Close the agent's open directive, if any, and open this one."""
        now = self._db.now()
        with self._db.transaction() as db:
            _close(db, agent, now)
            db.execute(
                "INSERT INTO directives VALUES (?,?,?,?,?,?,'[]',?,NULL)",
                (
                    directive.number,
                    agent,
                    directive.operator.value,
                    directive.base,
                    rows.dump(directive.references),
                    directive.reason,
                    now,
                ),
            )
            self._db.event(
                EventKind.DIRECTIVE,
                agent=agent,
                data={
                    "number": directive.number,
                    "operator": directive.operator.value,
                    "base": directive.base,
                    "references": directive.references,
                    "reason": directive.reason,
                },
            )

    def recalled(self, number: int, records: Sequence[str]) -> None:
        """Which memory records were shown with the directive."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE directives SET recalled = ? WHERE number = ?",
                (rows.dump(list(records)), number),
            )

    def close(self, agent: AgentId) -> None:
        """The agent is done with its open directive."""
        with self._db.transaction() as db:
            _close(db, agent, self._db.now())

    def still_open(self) -> list[OpenDirective]:
        """Directives that are not closed, oldest first."""
        found = self._db.read(
            "SELECT * FROM directives WHERE closed_at IS NULL ORDER BY number"
        ).fetchall()
        return [
            OpenDirective(
                AgentId(row["agent"]), rows.directive_from(row), tuple(json.loads(row["recalled"]))
            )
            for row in found
        ]


def _close(db: sqlite3.Connection, agent: AgentId, now: float) -> None:
    db.execute(
        "UPDATE directives SET closed_at = ? WHERE agent = ? AND closed_at IS NULL", (now, agent)
    )
