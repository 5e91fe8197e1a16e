"""What a run has used: model calls and wall time."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.agents.base import Usage
from harness.events import EventKind
from harness.ids import AgentId, AttemptId
from harness.run.database import Database

Query = Callable[[str], sqlite3.Cursor]
"""Reads the store: `Database.read` of a live run, `Connection.execute` of any."""

_SUMS = """
    COUNT(*) AS calls,
    COALESCE(SUM(estimated), 0) AS estimated,
    COALESCE(SUM(latency_s), 0.0) AS latency_s,
    COALESCE(SUM(prompt_tokens), 0) AS prompt_tokens,
    COALESCE(SUM(completion_tokens), 0) AS completion_tokens,
    COALESCE(SUM(cached_tokens), 0) AS cached_tokens,
    COALESCE(SUM(reasoning_tokens), 0) AS reasoning_tokens,
    CASE WHEN COUNT(*) = COUNT(cost_usd) THEN COALESCE(SUM(cost_usd), 0.0) END AS cost_usd
"""
_ATTEMPT = """
    (SELECT MIN(attempts.id) FROM attempts
     WHERE attempts.agent = model_calls.agent AND attempts.directive = model_calls.directive
       AND attempts.created_at >= model_calls.at)
"""
"""The attempt a call led to: its directive's first submission after it."""


@dataclass(frozen=True, slots=True)
class Account:
    """Model calls together. `cost_usd` is None when any call's price is unknown."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: float | None
    estimated: int
    """Calls whose tokens the harness had to estimate."""
    latency_s: float
    """Seconds spent waiting for answers, all calls added up."""

    @property
    def tokens(self) -> int:
        """Prompt and completion together: what a token budget counts."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def usage(self) -> Usage:
        """The same without the counts of calls."""
        return Usage(
            self.prompt_tokens,
            self.completion_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
            self.cost_usd,
            estimated=self.estimated > 0,
            latency_s=self.latency_s,
        )


def of_run(query: Query) -> Account:
    """All model calls of a run."""
    return _account(query(f"SELECT {_SUMS} FROM model_calls").fetchone())


def by_agent(query: Query) -> dict[AgentId, Account]:
    """Model calls by agent, in order of name."""
    return {AgentId(key): account for key, account in _grouped(query, "agent").items()}


def by_model(query: Query) -> dict[str, Account]:
    """Model calls by the model's name."""
    return _grouped(query, "model")


def by_directive(query: Query) -> dict[int, Account]:
    """Model calls by directive; those outside any are left out."""
    return {int(key): each for key, each in _grouped(query, "directive").items() if key}


def by_attempt(query: Query) -> dict[AttemptId, Account]:
    """What led to each attempt: its directive's calls up to its submission.

    Several attempts of one directive share its calls by time. What came after the last of them, and
    directives without any, are in the run's and the agent's accounts only.
    """
    return {AttemptId(key): each for key, each in _grouped(query, _ATTEMPT).items() if key}


def _grouped(query: Query, key: str) -> dict[str, Account]:
    rows = query(f"SELECT {key} AS key, {_SUMS} FROM model_calls GROUP BY 1 ORDER BY 1")
    return {"" if row["key"] is None else str(row["key"]): _account(row) for row in rows}


def _account(row: sqlite3.Row) -> Account:
    values: dict[str, Any] = {name: row[name] for name in Account.__dataclass_fields__}
    return Account(**values)


class AccountTable:
    """Model calls and sessions (a session is a launch or a resume)."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def model_call(self, agent: AgentId, directive: int | None, usage: Usage) -> None:
        """Record what a model call used."""
        with self._db.transaction(durable=False) as db:
            db.execute(
                "INSERT INTO model_calls VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    self._db.now(),
                    agent,
                    directive,
                    usage.prompt_tokens,
                    usage.completion_tokens,
                    usage.cached_tokens,
                    usage.reasoning_tokens,
                    usage.cost_usd,
                    usage.estimated,
                    usage.model,
                    usage.latency_s,
                ),
            )

    def usage(self) -> Usage:
        """All model calls together; the cost is None when any call's is unknown."""
        return self.of_run().usage

    def of_run(self) -> Account:
        """All model calls, with their number and the time they took."""
        return of_run(self._db.read)

    def by_agent(self) -> dict[AgentId, Account]:
        """Model calls by agent."""
        return by_agent(self._db.read)

    def by_model(self) -> dict[str, Account]:
        """Model calls by the model's name."""
        return by_model(self._db.read)

    def by_directive(self) -> dict[int, Account]:
        """Model calls by directive."""
        return by_directive(self._db.read)

    def by_attempt(self) -> dict[AttemptId, Account]:
        """Model calls by the attempt they led to."""
        return by_attempt(self._db.read)

    def begin_session(self) -> int:
        """A launch or a resume; returns its id."""
        with self._db.transaction() as db:
            cursor = db.execute("INSERT INTO sessions VALUES (NULL,?,0,NULL)", (self._db.now(),))
        return int(cursor.lastrowid or 0)

    def session_wall(self, session: int, wall_s: float) -> None:
        """How long the session has lasted."""
        with self._db.transaction() as db:
            db.execute("UPDATE sessions SET wall_s = ? WHERE id = ?", (wall_s, session))

    def end_session(
        self, session: int, wall_s: float, reason: str | None, evaluations: int
    ) -> None:
        """The session's end and why it came (None: an error), in state and journal at once."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE sessions SET wall_s = ?, reason = ? WHERE id = ?", (wall_s, reason, session)
            )
            data = {"reason": reason or "error", "evaluations": evaluations}
            self._db.event(EventKind.ENDED, data=data)

    def wall_s(self) -> float:
        """Seconds of all sessions together."""
        row = self._db.read("SELECT COALESCE(SUM(wall_s), 0.0) FROM sessions").fetchone()
        return float(row[0])
