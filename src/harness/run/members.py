"""Who is in the team: the agents' places, roles and claims, in the store."""

from dataclasses import dataclass

from harness.events import EventKind
from harness.ids import AgentId
from harness.run.database import Database


@dataclass(slots=True)
class Member:
    """An agent's place in the team.

    `number` counts those that ever joined from 1, `group` is the index of its group in the
    configuration, `origin` the agent whose conversation it started with. `model` and `temperature`
    are what heartbeats or a user changed; None: as configured. `retired_at` is in seconds since the
    epoch.
    """

    agent: AgentId
    number: int
    group: int
    role: str = ""
    focus: str = ""
    origin: AgentId | None = None
    retired_at: float | None = None
    model: str | None = None
    temperature: float | None = None


class MemberTable:
    """One row an agent, retired ones included."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self) -> list[Member]:
        """All that ever joined, in that order."""
        return [
            Member(
                AgentId(row["agent"]),
                row["number"],
                row["grp"],
                row["role"],
                row["focus"],
                None if row["origin"] is None else AgentId(row["origin"]),
                row["retired_at"],
                row["model"],
                row["temperature"],
            )
            for row in self._db.read("SELECT * FROM team ORDER BY number")
        ]

    def put(self, member: Member, change: str, reason: str = "") -> None:
        """Write a member and journal what changed (`joined`, `retired`, `retuned`, `claimed`)."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO team VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    member.agent,
                    member.number,
                    member.group,
                    member.role,
                    member.focus,
                    member.origin,
                    member.retired_at,
                    member.model,
                    member.temperature,
                ),
            )
            self._db.event(
                EventKind.TEAM,
                agent=member.agent,
                data={
                    "change": change,
                    "reason": reason,
                    "role": member.role,
                    "focus": member.focus,
                    "origin": member.origin,
                    "model": member.model,
                    "temperature": member.temperature,
                },
            )
