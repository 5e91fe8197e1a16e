"""Directives in the store: opened, shown with memory records, closed."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from harness.events import EventKind
from harness.ids import AgentId, AttemptId
from harness.run import rows
from harness.run.database import Database
from harness.search.base import Directive


class OpenDirective(NamedTuple):
    """A directive an agent has not finished, and the memory records shown with it."""

    agent: AgentId
    directive: Directive
    recalled: tuple[str, ...]
    model: str | None


class DirectiveTable:
    """At most one open directive an agent."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def last_number(self) -> int:
        """Number of the newest directive; 0 without any."""
        row = self._db.read("SELECT COALESCE(MAX(number), 0) FROM directives").fetchone()
        return int(row[0])

    def open(
        self,
        agent: AgentId,
        directive: Directive,
        recalled: Sequence[str],
        model: str | None = None,
    ) -> None:
        """The agent starts on a directive with a model, shown with these memory records."""
        now = self._db.now()
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO directives VALUES (?,?,?,?,?,?,?,?,NULL,?)",
                (
                    directive.number,
                    agent,
                    directive.operator.value,
                    directive.base,
                    rows.dump(directive.references),
                    directive.reason,
                    rows.dump(list(recalled)),
                    now,
                    model,
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
                    "model": model,
                },
            )

    def close(self, agent: AgentId) -> None:
        """The agent is done with its open directive, if it has one; durable with the next one's."""
        with self._db.transaction(durable=False) as db:
            db.execute(
                "UPDATE directives SET closed_at = ? WHERE agent = ? AND closed_at IS NULL",
                (self._db.now(), agent),
            )

    def still_open(self) -> list[OpenDirective]:
        """Directives that are not closed, oldest first."""
        found = self._db.read(
            "SELECT * FROM directives WHERE closed_at IS NULL ORDER BY number"
        ).fetchall()
        return [
            OpenDirective(
                AgentId(row["agent"]),
                rows.directive_from(row),
                tuple(json.loads(row["recalled"])),
                row["model"],
            )
            for row in found
        ]

    def recalled(self, number: int) -> tuple[str, ...]:
        """The memory records that were shown with a directive; none of an unknown one."""
        row = self._db.read(
            "SELECT recalled FROM directives WHERE number = ?", (number,)
        ).fetchone()
        return tuple(json.loads(row["recalled"])) if row is not None else ()

    def number_of(self, agent: AgentId) -> int | None:
        """The agent's open directive."""
        row = self._db.read(
            "SELECT number FROM directives WHERE agent = ? AND closed_at IS NULL", (agent,)
        ).fetchone()
        return None if row is None else int(row["number"])

    def models(self) -> list[tuple[int, str, AttemptId, bool]]:
        """Number, model, base, and whether it is closed, of each directive given to a model."""
        found = self._db.read(
            "SELECT number, model, base, closed_at IS NOT NULL AS closed FROM directives"
            " WHERE model IS NOT NULL ORDER BY COALESCE(closed_at, 1e18), number"
        )
        return [
            (row["number"], row["model"], AttemptId(str(row["base"])), bool(row["closed"]))
            for row in found
        ]
