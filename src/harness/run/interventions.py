"""Heartbeats in the store: what fired and why, and the messages, each given until it was heard."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.agents.heartbeats.base import Firing, Intervention, Mark
from harness.agents.heartbeats.config import HeartbeatAction
from harness.events import EventKind
from harness.ids import AgentId
from harness.run import rows
from harness.run.database import Database


class Scores(NamedTuple):
    """How whom a rule looked at, and the team, stood when it fired."""

    best: float | None
    team_evaluations: int
    team_best: float | None


class Fired(NamedTuple):
    """A firing whose action is still to be performed, or whose note is awaited."""

    id: int
    rule: str
    key: str
    reason: str
    action: HeartbeatAction
    targets: tuple[AgentId, ...]


class Note(NamedTuple):
    """What an agent wrote to the memory; `id` is its line in the run's log of it."""

    id: int
    agent: AgentId
    record: str
    title: str
    text: str


class Entry(NamedTuple):
    """A line of the journal that heartbeats count: `verdict`, `submitted` or `crash`."""

    sequence: int
    at: float
    kind: str
    agent: str | None
    attempt: str | None


_HANDLED = "heartbeats.handled"
_RULES = "heartbeats.rules"


class InterventionTable:
    """What fired, what waits for an agent, and how far the journal has been looked at."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def queue(self, intervention: Intervention, *, evaluations: int) -> int:
        """Queue a message that no rule sent; `evaluations` is its agent's count."""
        with self._db.transaction() as db:
            self._db.event(
                EventKind.INTERVENTION,
                agent=intervention.agent,
                data={
                    "rule": intervention.rule,
                    "reason": intervention.reason,
                    "action": intervention.action,
                },
            )
            return self._queue(db, intervention, evaluations, None)

    def record(
        self,
        firings: Sequence[tuple[Firing, Scores]],
        *,
        evaluations: Mapping[str, int],
        handled: int,
    ) -> list[int]:
        """What fired, its messages, and that the journal is handled up to here: all or nothing.

        With `evaluations` each agent's count. Returns the firings' numbers.
        """
        numbers: list[int] = []
        with self._db.transaction(durable=bool(firings)) as db:
            for firing, scores in firings:
                number = self._fire(db, firing, scores)
                numbers.append(number)
                for intervention in firing.interventions:
                    count = evaluations.get(intervention.agent, 0)
                    self._queue(db, intervention, count, number)
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_HANDLED, str(handled)))
        return numbers

    def _fire(self, db: sqlite3.Connection, firing: Firing, scores: Scores) -> int:
        rule, mark = firing.rule, firing.mark
        cursor = db.execute(
            "INSERT INTO fired VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,NULL)",
            (
                self._db.now(),
                rule.name,
                firing.subject,
                firing.key,
                firing.reason,
                rule.action.model_dump_json(exclude_defaults=True),
                rows.dump(firing.targets),
                mark.evaluations,
                mark.limits,
                mark.fired,
                scores.best,
                scores.team_evaluations,
                scores.team_best,
                int(rule.relay),
                "" if rule.action.do in _BY_AGENTS else None,
            ),
        )
        self._db.event(
            EventKind.INTERVENTION,
            agent=firing.subject or None,
            data={
                "rule": rule.name,
                "key": firing.key,
                "reason": firing.reason,
                "action": rule.action.do,
                "targets": firing.targets,
                "evaluations": mark.evaluations,
                "best": scores.best,
                "team_evaluations": scores.team_evaluations,
                "team_best": scores.team_best,
            },
        )
        return int(cursor.lastrowid or 0)

    def _queue(
        self,
        db: sqlite3.Connection,
        intervention: Intervention,
        evaluations: int,
        firing: int | None,
    ) -> int:
        cursor = db.execute(
            "INSERT INTO interventions VALUES (NULL,?,?,?,?,?,?,?,?,?,NULL,NULL)",
            (
                self._db.now(),
                intervention.agent,
                intervention.rule,
                intervention.reason,
                intervention.text,
                intervention.action,
                int(intervention.urgent),
                evaluations,
                firing,
            ),
        )
        return int(cursor.lastrowid or 0)

    def take(self, agent: AgentId) -> list[Intervention]:
        """The messages that wait for the agent, oldest first; each is given once.

        Asking again tells that what was given before has been heard. What an agent was given and
        did not live to ask again after, `again` gives back.
        """
        found = self._db.read(
            "SELECT * FROM interventions WHERE agent = ? AND seen_at IS NULL ORDER BY id", (agent,)
        ).fetchall()
        if not found:
            return []
        waiting = [row for row in found if row["delivered_at"] is None]
        now = self._db.now()
        with self._db.transaction(durable=bool(waiting)) as db:
            db.execute(
                "UPDATE interventions SET seen_at = ?"
                " WHERE agent = ? AND delivered_at IS NOT NULL AND seen_at IS NULL",
                (now, agent),
            )
            db.executemany(
                "UPDATE interventions SET delivered_at = ? WHERE id = ?",
                [(now, row["id"]) for row in waiting],
            )
            if waiting:
                given = [row["id"] for row in waiting]
                self._db.event(EventKind.INTERVENTION, agent=agent, data={"given": given})
        return [_intervention(row) for row in waiting]

    def again(self, agent: AgentId) -> int:
        """An agent starts over: what it was given and may not have heard waits for it again."""
        with self._db.transaction(durable=False) as db:
            return db.execute(
                "UPDATE interventions SET delivered_at = NULL"
                " WHERE agent = ? AND delivered_at IS NOT NULL AND seen_at IS NULL",
                (agent,),
            ).rowcount

    def urgent(self, agent: AgentId) -> bool:
        """Whether an urgent message waits for the agent."""
        row = self._db.read(
            "SELECT COUNT(*) FROM interventions WHERE agent = ? AND urgent = 1"
            " AND seen_at IS NULL AND delivered_at IS NULL",
            (agent,),
        ).fetchone()
        return bool(row[0])

    def marks(self) -> dict[tuple[str, str], Mark]:
        """Each rule's last firing for each subject."""
        found = self._db.read(
            "SELECT rule, subject, evaluations, at, limits, MAX(nth) AS nth FROM fired"
            " GROUP BY rule, subject"
        )
        return {
            (row["rule"], row["subject"]): Mark(
                row["evaluations"], row["at"], row["limits"], row["nth"]
            )
            for row in found
        }

    def unperformed(self) -> list[Fired]:
        """Firings whose action a kill kept from being performed."""
        found = self._db.read("SELECT * FROM fired WHERE outcome IS NULL ORDER BY id").fetchall()
        return [_fired(row) for row in found]

    def performed(self, firing: int, outcome: str) -> None:
        """What came of a firing's action."""
        with self._db.transaction(durable=False) as db:
            db.execute("UPDATE fired SET outcome = ? WHERE id = ?", (outcome, firing))

    def awaited(self) -> list[tuple[Fired, AgentId]]:
        """Firings that asked for a note which has not come, and whom they asked."""
        found = self._db.read(
            "SELECT fired.*, interventions.agent AS asked FROM fired JOIN interventions"
            " ON interventions.firing = fired.id"
            " WHERE fired.relay = 1 AND fired.note IS NULL ORDER BY fired.id"
        ).fetchall()
        return [(_fired(row), AgentId(row["asked"])) for row in found]

    def notes(self, after: int) -> list[Note]:
        """What agents wrote to the memory of themselves, oldest first."""
        found = self._db.read(
            "SELECT id, agent, query, records FROM memory_log"
            " WHERE id > ? AND op = 'write' AND attempt IS NULL ORDER BY id",
            (after,),
        )
        notes: list[Note] = []
        for row in found:
            shown = json.loads(row["records"])[0]
            notes.append(
                Note(row["id"], AgentId(row["agent"]), shown["id"], row["query"], shown["text"])
            )
        return notes

    def relayed(
        self,
        firing: int,
        note: str,
        messages: Sequence[Intervention],
        evaluations: Mapping[str, int],
    ) -> None:
        """The note of a firing has come and goes to others: once, whatever is repeated."""
        with self._db.transaction() as db:
            changed = db.execute(
                "UPDATE fired SET note = ? WHERE id = ? AND note IS NULL", (note, firing)
            ).rowcount
            if not changed:
                return
            for message in messages:
                self._queue(db, message, evaluations.get(message.agent, 0), firing)
            self._db.event(
                EventKind.INTERVENTION,
                data={"firing": firing, "note": note, "to": [each.agent for each in messages]},
            )

    def tell_newcomer(self, firing: int, message: Intervention) -> None:
        """The message of a firing for an agent that joined because of it."""
        with self._db.transaction(durable=False) as db:
            self._queue(db, message, 0, firing)

    def entries(self, after: int = 0) -> list[Entry]:
        """The lines of the journal that are counted, in order, from behind `after` on."""
        found = self._db.read(
            "SELECT sequence, at, kind, agent, attempt FROM events WHERE sequence > ?"
            " AND kind IN ('verdict', 'submitted', 'crash') ORDER BY sequence",
            (after,),
        )
        return [Entry(*row) for row in found]

    def last_entry(self) -> int:
        """The journal's last line."""
        row = self._db.read("SELECT COALESCE(MAX(sequence), 0) FROM events").fetchone()
        return int(row[0])

    def handled(self) -> int | None:
        """Up to where the journal is handled; None when nobody has looked at it yet."""
        found = self._meta(_HANDLED)
        return None if found is None else int(found)

    def rules(self) -> list[dict[str, Any]] | None:
        """What `adopt` was given last."""
        found = self._meta(_RULES)
        return None if found is None else json.loads(found)

    def adopt(self, rules: Sequence[Mapping[str, Any]], *, handled: int) -> None:
        """Other rules are in force from here on."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_RULES, rows.dump(rules)))
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_HANDLED, str(handled)))
            self._db.event(EventKind.HEARTBEATS, data={"rules": [each["rule"] for each in rules]})

    def _meta(self, key: str) -> str | None:
        row = self._db.read("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])


_BY_AGENTS = frozenset({"prompt", "restart"})
"""Actions of which nothing is left to the run."""


def _intervention(row: Any) -> Intervention:
    return Intervention(
        row["rule"],
        row["agent"],
        row["reason"],
        row["text"],
        row["action"],
        bool(row["urgent"]),
    )


def _fired(row: Any) -> Fired:
    return Fired(
        row["id"],
        row["rule"],
        row["key"],
        row["reason"],
        HeartbeatAction.model_validate_json(row["action"]),
        tuple(AgentId(agent) for agent in json.loads(row["targets"])),
    )
