"""What a run has used: model calls and wall time."""

from harness.agents.base import Usage
from harness.ids import AgentId
from harness.run.database import Database


class AccountTable:
    """Model calls and sessions (a session is a launch or a resume)."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def model_call(self, agent: AgentId, directive: int | None, usage: Usage) -> None:
        """Record what a model call used."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO model_calls VALUES (NULL,?,?,?,?,?,?,?,?)",
                (
                    self._db.now(),
                    agent,
                    directive,
                    usage.prompt_tokens,
                    usage.completion_tokens,
                    usage.cached_tokens,
                    usage.reasoning_tokens,
                    usage.cost_usd,
                ),
            )

    def usage(self) -> Usage:
        """All model calls together; the cost is None when any call's is unknown."""
        row = self._db.read(
            "SELECT COALESCE(SUM(prompt_tokens), 0) AS prompt_tokens,"
            " COALESCE(SUM(completion_tokens), 0) AS completion_tokens,"
            " COALESCE(SUM(cached_tokens), 0) AS cached_tokens,"
            " COALESCE(SUM(reasoning_tokens), 0) AS reasoning_tokens,"
            " CASE WHEN COUNT(*) = COUNT(cost_usd) THEN COALESCE(SUM(cost_usd), 0.0) END"
            " AS cost_usd FROM model_calls"
        ).fetchone()
        return Usage(**dict(row))

    def begin_session(self) -> int:
        """A launch or a resume; returns its id."""
        with self._db.transaction() as db:
            cursor = db.execute("INSERT INTO sessions VALUES (NULL,?,0,NULL)", (self._db.now(),))
        return int(cursor.lastrowid or 0)

    def session_wall(self, session: int, wall_s: float, reason: str | None = None) -> None:
        """How long the session has lasted, and why it ended."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE sessions SET wall_s = ?, reason = COALESCE(?, reason) WHERE id = ?",
                (wall_s, reason, session),
            )

    def wall_s(self) -> float:
        """Seconds of all sessions together."""
        row = self._db.read("SELECT COALESCE(SUM(wall_s), 0.0) FROM sessions").fetchone()
        return float(row[0])
