"""What can be read of a run, as objects and as the JSON documents of the command line."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.attempt import Attempt, Direction, Verdict, best_of, verdict_from
from harness.clock import isoformat
from harness.errors import UserError
from harness.events import SCHEMA_VERSION, Event, EventKind
from harness.ids import AttemptId
from harness.memory.base import LogEntry
from harness.run import rows
from harness.run.config import RunConfig, read_saved
from harness.run.folder import RunFolder, all_runs, live_process
from harness.run.objectives import front_of, saved_objectives
from harness.run.reading import reading
from harness.run.status import AgentReport, RunStatus, StatusReader
from harness.search.base import Directive
from harness.search.pareto import ParetoFront


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """What an agent does, and since when (seconds since the epoch)."""

    agent: str
    state: str
    activity: str
    since: float


@dataclass(frozen=True, slots=True)
class RunView:
    """A consistent snapshot of a run. Scores and times as in the store; seconds, tokens, USD."""

    folder: RunFolder
    meta: Mapping[str, str]
    config: RunConfig
    attempts: tuple[Attempt, ...]
    directives: tuple[Directive, ...]
    agents: tuple[AgentStatus, ...]
    events: tuple[Event, ...]
    tokens: int
    cost_usd: float | None
    wall_s: float
    reason: str | None
    pid: int | None

    @property
    def task(self) -> str:
        return self.meta["task"]

    @property
    def best(self) -> Attempt | None:
        return best_of(self.direction, self.attempts)

    @property
    def front(self) -> ParetoFront | None:
        """The Pareto front; None for a task with the score alone."""
        return front_of(self.attempts, self.direction, saved_objectives(self.folder))

    @property
    def direction(self) -> Direction:
        return "minimize" if self.minimize else "maximize"

    @property
    def minimize(self) -> bool:
        return self.meta["direction"] == "minimize"

    @property
    def evaluations(self) -> int:
        return sum(a.verdict is not None and a.verdict.charged for a in self.attempts)

    @property
    def state(self) -> str:
        """`running`, `ended`, or `interrupted` when its process died."""
        if self.pid is not None:
            return "running"
        return "interrupted" if self.reason is None else "ended"

    def attempt(self, reference: str) -> Attempt:
        """An attempt by id or by the beginning of its commit.

        Raises:
            UserError: None, or several.
        """
        for attempt in self.attempts:
            if attempt.id == reference:
                return attempt
        found = [a for a in self.attempts if len(reference) >= 4 and a.commit.startswith(reference)]
        if len(found) == 1:
            return found[0]
        raise UserError(
            f"run {self.folder.id} has {'several attempts' if found else 'no attempt'}"
            f" {reference!r}",
            expected=f"a number from 0 to {len(self.attempts) - 1}, or a commit",
            action=f"harness attempts {self.folder.id}",
        )


def read_run(folder: RunFolder, *, events: bool = False) -> RunView:
    """Everything about a run; the journal only with `events`."""
    pid = live_process(folder)
    with reading(folder.database) as db:
        usage = db.execute(
            "SELECT COALESCE(SUM(prompt_tokens + completion_tokens), 0),"
            " COUNT(*) - COUNT(cost_usd),"
            " COALESCE(SUM(cost_usd), 0.0) FROM model_calls"
        ).fetchone()
        last = db.execute("SELECT reason FROM sessions ORDER BY id DESC LIMIT 1").fetchone()
        return RunView(
            folder=folder,
            meta={row["key"]: row["value"] for row in db.execute("SELECT * FROM meta")},
            config=read_saved(folder.config),
            attempts=tuple(
                map(rows.attempt_from, db.execute("SELECT * FROM attempts ORDER BY id"))
            ),
            directives=tuple(
                map(rows.directive_from, db.execute("SELECT * FROM directives ORDER BY number"))
            ),
            agents=tuple(
                AgentStatus(row["agent"], row["state"], row["activity"], row["since"])
                for row in db.execute("SELECT * FROM agents ORDER BY length(agent), agent")
            ),
            events=tuple(map(rows.event_from, db.execute("SELECT * FROM events ORDER BY sequence")))
            if events
            else (),
            tokens=usage[0],
            cost_usd=None if usage[1] else usage[2],
            wall_s=db.execute("SELECT COALESCE(SUM(wall_s), 0.0) FROM sessions").fetchone()[0],
            reason=last["reason"] if last else None,
            pid=pid,
        )


def late_verdicts(folder: RunFolder, attempt: AttemptId) -> list[dict[str, Any]]:
    """Answers of workers that had been given up, oldest first; none of them counted."""
    with reading(folder.database) as db:
        found = db.execute(
            "SELECT * FROM events WHERE kind = ? AND attempt = ? ORDER BY sequence",
            (EventKind.LATE_VERDICT.value, attempt),
        )
        return [{"at": isoformat(e.at), **e.data} for e in map(rows.event_from, found)]


def holdout_verdicts(folder: RunFolder) -> dict[AttemptId, Verdict]:
    """Verdicts on the hold-out of the champions that were scored there."""
    with reading(folder.database) as db:
        found = db.execute(
            "SELECT * FROM events WHERE kind = ? ORDER BY sequence", (EventKind.HOLDOUT.value,)
        )
        events = map(rows.event_from, found)
        return {AttemptId(str(e.attempt)): verdict_from(e.data["verdict"]) for e in events}


def memory_log(path: Path, *, attempt: str | None = None) -> list[LogEntry]:
    """The run's own log of the memory, oldest first.

    With `attempt`, the entries that bear on it: what was recalled for its directive, its own
    record, and what was credited with its outcome.
    """
    folder = RunFolder(path)
    with reading(folder.database) as db:
        where, parameters = "", []
        if attempt is not None:
            where = (
                "WHERE attempt = ? OR (op IN ('recall', 'cite') AND directive ="
                " (SELECT directive FROM attempts WHERE id = ?))"
            )
            parameters = [attempt, attempt]
        found = db.execute(f"SELECT * FROM memory_log {where} ORDER BY id", parameters).fetchall()
        served = AttemptId(attempt) if attempt is not None else None
        entries = [rows.log_entry_from(row, folder.id) for row in found]
        return [_serving(entry, served) for entry in entries]


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """An attempt as `harness attempts --json` prints it."""
    return {
        "id": attempt.id,
        "commit": attempt.commit,
        "agent": attempt.agent,
        "operator": attempt.operator.value,
        "parents": list(attempt.parents),
        "references": list(attempt.references),
        "status": attempt.status.value,
        "score": attempt.score,
        "metrics": dict(attempt.verdict.metrics) if attempt.verdict is not None else {},
        "title": attempt.title,
        "created_at": isoformat(attempt.created_at),
        "evaluated_at": isoformat(attempt.evaluated_at) if attempt.evaluated_at else None,
        "duplicate_of": attempt.duplicate_of,
    }


def attempts_document(view: RunView, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """`harness attempts RUN --json`; all attempts in order, unless fewer were asked for."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run": view.folder.id,
        "attempts": [attempt_document(attempt) for attempt in attempts],
    }


def graph_document(view: RunView) -> dict[str, Any]:
    """`harness graph RUN --json`; an edge goes from the older attempt to the newer one."""
    edges = [
        {"from": source, "to": attempt.id, "kind": kind}
        for attempt in view.attempts
        for kind, sources in (("parent", attempt.parents), ("reference", attempt.references))
        for source in sources
    ]
    front = view.front
    return {
        "schema_version": SCHEMA_VERSION,
        "run": view.folder.id,
        "nodes": [attempt_document(attempt) for attempt in view.attempts],
        "edges": edges,
        "front": list(front.members) if front is not None else None,
    }


def status_document(status: RunStatus) -> dict[str, Any]:
    """`harness status RUN --json`."""
    best = status.best
    return {
        "schema_version": SCHEMA_VERSION,
        "run": status.folder.id,
        "path": str(status.folder.path),
        "task": status.task,
        "state": status.state,
        "paused": status.paused is not None,
        "pid": status.pid,
        "reason": status.reason,
        "evaluations": status.evaluations,
        "attempts": status.attempts,
        "budget": status.config.budget.model_dump(),
        "budget_left": status.budget_left(),
        "rate_per_hour": status.rate_per_hour,
        "best": {"attempt": best.attempt, "score": best.score} if best else None,
        "front": list(status.front) if status.front is not None else None,
        "curve": [
            {
                "evaluation": point.evaluation,
                "score": point.score,
                "attempt": point.attempt,
                "agent": point.agent,
                "at": isoformat(point.at),
            }
            for point in status.curve
        ],
        "tokens": status.tokens,
        "cost_usd": status.cost_usd,
        "wall_s": status.wall_s,
        "agents": [_agent_document(agent) for agent in status.agents],
        "heartbeats": [
            {"at": isoformat(h.at), "rule": h.kind, "agent": h.agent, "reason": h.text}
            for h in status.heartbeats
        ],
        "events": [
            {"at": isoformat(e.at), "kind": e.kind, "agent": e.agent, "text": e.text}
            for e in status.events
        ],
    }


def _agent_document(agent: AgentReport) -> dict[str, Any]:
    directive = agent.directive
    return {
        "agent": agent.agent,
        "state": agent.state,
        "activity": agent.activity,
        "since": isoformat(agent.since),
        "role": agent.role,
        "focus": agent.focus,
        "model": agent.model,
        "directive": {
            "number": directive.number,
            "operator": directive.operator,
            "base": directive.base,
            "references": list(directive.references),
            "reason": directive.reason,
            "since": isoformat(directive.since),
        }
        if directive
        else None,
        "attempts": agent.attempts,
        "best": agent.best,
        "tokens": agent.tokens,
        "cost_usd": agent.cost_usd,
    }


def runs_document(runs_dir: Path) -> dict[str, Any]:
    """`harness runs --json`: a summary of each run, oldest first."""
    found = [status_document(StatusReader(folder).read()) for folder in all_runs(runs_dir)]
    keys = ("run", "path", "task", "state", "reason", "evaluations", "best", "cost_usd", "wall_s")
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": [{key: document[key] for key in keys} for document in found],
    }


def warnings(view: RunView) -> list[str]:
    """What the run itself found worth a warning."""
    return [str(e.data.get("text", "")) for e in view.events if e.kind is EventKind.WARNING]


def timings(view: RunView) -> dict[str, float]:
    """Wall seconds of the harness's own work by phase in the last session."""
    saved: dict[str, float] = json.loads(view.meta.get("timings", "{}"))
    return saved


def _serving(entry: LogEntry, attempt: AttemptId | None) -> LogEntry:
    return entry if attempt is None or entry.attempt else replace(entry, attempt=attempt)
