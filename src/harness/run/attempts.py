"""Attempts in the store: submitted, started, judged; and what agents' calls returned."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.attempt import UNFINISHED, Attempt, Operator, Status, Verdict, verdict_json
from harness.errors import StoreError
from harness.evaluators.base import LateVerdict
from harness.events import EventKind
from harness.ids import AgentId, AttemptId, CommitHash, TreeHash
from harness.run import rows
from harness.run.database import Database


class Candidate(NamedTuple):
    """What is about to become an attempt."""

    commit: CommitHash
    tree: TreeHash
    agent: AgentId
    operator: Operator
    parents: tuple[AttemptId, ...]
    references: tuple[AttemptId, ...]
    title: str
    directive: int | None
    detail: Mapping[str, Any]


class AttemptTable:
    """One row an attempt. No tree has two verdicts: a unique index of the database holds that."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def submit(self, candidate: Candidate, *, key: str | None, told: bool = True) -> Attempt:
        """Record a submission: queued, or a duplicate of the attempt that has this tree.

        With `key`, the attempt is what that call of the agent returned, now and after a crash.
        Not `told`: the agent does not wait for the verdict and asks for it later.
        """
        now = self._db.now()
        with self._db.transaction() as db:
            twin = db.execute(
                "SELECT id FROM attempts WHERE tree = ? AND status NOT IN"
                " ('duplicate', 'cancelled', 'sandbox_lost', 'evaluator_error')",
                (candidate.tree,),
            ).fetchone()
            number = db.execute("SELECT COALESCE(MAX(id) + 1, 0) FROM attempts").fetchone()[0]
            status = Status.DUPLICATE if twin else Status.QUEUED
            db.execute(
                "INSERT INTO attempts VALUES (?,?,?,?,?,?,?,?,?,?,NULL,NULL,?,?,?)",
                (
                    number,
                    candidate.commit,
                    candidate.tree,
                    candidate.agent,
                    candidate.operator.value,
                    rows.dump(candidate.parents),
                    rows.dump(candidate.references),
                    candidate.title,
                    status.value,
                    now,
                    twin["id"] if twin else None,
                    candidate.directive,
                    rows.dump(candidate.detail),
                ),
            )
            if key is not None:
                db.execute(
                    "INSERT INTO effects VALUES (?,?,?)", (candidate.agent, key, str(number))
                )
            if not told:
                db.execute("INSERT INTO untold VALUES (?,?)", (number, candidate.agent))
            self._db.event(
                EventKind.SUBMITTED,
                agent=candidate.agent,
                attempt=str(number),
                data={"status": status.value, "tree": candidate.tree, "title": candidate.title},
            )
        return self.get(AttemptId(str(number)))

    def start(self, attempt: AttemptId) -> None:
        """The evaluation starts; not durable, since one that was lost is queued again anyway."""
        with self._db.transaction(durable=False) as db:
            db.execute(
                "UPDATE attempts SET status = ? WHERE id = ?", (Status.RUNNING.value, attempt)
            )
            self._db.event(EventKind.STARTED, attempt=attempt)

    def verdict(self, attempt: AttemptId, verdict: Verdict) -> Attempt:
        """Record the verdict.

        Raises:
            StoreError: When the attempt has one already.
        """
        now = self._db.now()
        with self._db.transaction() as db:
            changed = db.execute(
                "UPDATE attempts SET status = ?, evaluated_at = ?, verdict = ?"
                " WHERE id = ? AND status IN ('queued', 'running')",
                (verdict.status.value, now, rows.dump(verdict_json(verdict)), attempt),
            ).rowcount
            if changed != 1:
                raise StoreError(f"attempt {attempt} has a verdict already")
            self._db.event(
                EventKind.VERDICT,
                attempt=attempt,
                data={"status": verdict.status.value, "score": verdict.score},
            )
        return self.get(attempt)

    def late(self, late: LateVerdict) -> None:
        """Keep an answer that came too late to be the verdict."""
        with self._db.transaction():
            self._db.event(
                EventKind.LATE_VERDICT,
                attempt=late.attempt,
                data={
                    "token": late.token,
                    "site": late.site,
                    "verdict": verdict_json(late.verdict),
                },
            )

    def held_out(self, attempt: AttemptId, verdict: Verdict) -> None:
        """Keep a champion's verdict on the hold-out, in the journal only."""
        with self._db.transaction():
            data = {"verdict": verdict_json(verdict)}
            self._db.event(EventKind.HOLDOUT, attempt=attempt, data=data)

    def on_holdout(self) -> set[AttemptId]:
        """Attempts that have a verdict on the hold-out."""
        kind = (EventKind.HOLDOUT.value,)
        return {
            AttemptId(row["attempt"])
            for row in self._db.read("SELECT attempt FROM events WHERE kind = ?", kind)
        }

    def requeue(self) -> list[Attempt]:
        """Put every evaluation that a kill interrupted back into the queue, once."""
        unfinished = [status.value for status in UNFINISHED]
        with self._db.transaction() as db:
            found = db.execute(
                "SELECT id, status FROM attempts WHERE status IN (?, ?) ORDER BY id", unfinished
            ).fetchall()
            for row in found:
                db.execute(
                    "UPDATE attempts SET status = ? WHERE id = ?", (Status.QUEUED.value, row["id"])
                )
                self._db.event(
                    EventKind.REQUEUED, attempt=str(row["id"]), data={"was": row["status"]}
                )
        return [self.get(AttemptId(str(row["id"]))) for row in found]

    def get(self, attempt: AttemptId) -> Attempt:
        """One attempt by id.

        Raises:
            KeyError: No such attempt.
        """
        row = self._db.read("SELECT * FROM attempts WHERE id = ?", (attempt,)).fetchone()
        if row is None:
            raise KeyError(f"no attempt {attempt}")
        return rows.attempt_from(row)

    def all(self) -> list[Attempt]:
        """All attempts in order of submission."""
        found = self._db.read("SELECT * FROM attempts ORDER BY id").fetchall()
        return [rows.attempt_from(row) for row in found]

    def untold(self, agent: AgentId) -> list[AttemptId]:
        """Attempts whose verdict the agent has not been given yet, oldest first."""
        found = self._db.read(
            "SELECT attempt FROM untold WHERE agent = ? ORDER BY attempt", (agent,)
        )
        return [AttemptId(str(row["attempt"])) for row in found]

    def tell(self, attempts: Sequence[AttemptId]) -> None:
        """The agents have been given these verdicts."""
        with self._db.transaction(durable=False) as db:
            db.executemany("DELETE FROM untold WHERE attempt = ?", [(each,) for each in attempts])

    def effect(self, agent: AgentId, key: str) -> str | None:
        """What the agent's call with this key returned."""
        row = self._db.read(
            "SELECT result FROM effects WHERE agent = ? AND key = ?", (agent, key)
        ).fetchone()
        return None if row is None else str(row["result"])

    def remember_effect(self, agent: AgentId, key: str, result: str) -> None:
        """Keep what the agent's call with this key returned; the first result stays."""
        with self._db.transaction() as db:
            db.execute("INSERT OR IGNORE INTO effects VALUES (?,?,?)", (agent, key, result))
