"""Heartbeat messages in the store: queued, delivered once."""

from harness.agents.heartbeats.base import Intervention
from harness.events import EventKind
from harness.ids import AgentId
from harness.run.database import Database


class InterventionTable:
    """Messages that wait for an agent, and when each rule last fired for it."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def queue(self, intervention: Intervention, *, evaluations: int) -> None:
        """Queue a message for an agent and remember when its rule fired."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO interventions VALUES (NULL,?,?,?,?,?,NULL)",
                (
                    self._db.now(),
                    intervention.agent,
                    intervention.rule,
                    intervention.reason,
                    intervention.text,
                ),
            )
            db.execute(
                "INSERT OR REPLACE INTO fired VALUES (?,?,?)",
                (intervention.agent, intervention.rule, evaluations),
            )
            self._db.event(
                EventKind.INTERVENTION,
                agent=intervention.agent,
                data={"rule": intervention.rule, "reason": intervention.reason},
            )

    def take(self, agent: AgentId) -> list[Intervention]:
        """The messages that wait for the agent; each is given once."""
        with self._db.transaction() as db:
            found = db.execute(
                "SELECT * FROM interventions WHERE agent = ? AND delivered_at IS NULL ORDER BY id",
                (agent,),
            ).fetchall()
            db.execute(
                "UPDATE interventions SET delivered_at = ?"
                " WHERE agent = ? AND delivered_at IS NULL",
                (self._db.now(), agent),
            )
        return [
            Intervention(row["rule"], row["agent"], row["reason"], row["text"]) for row in found
        ]

    def fired(self) -> dict[str, dict[str, int]]:
        """For each agent, each rule's evaluation count at its last firing."""
        result: dict[str, dict[str, int]] = {}
        for row in self._db.read("SELECT * FROM fired"):
            result.setdefault(row["agent"], {})[row["rule"]] = row["evaluations"]
        return result
