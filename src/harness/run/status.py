"""How a run stands, read cheaply and again and again: what is new since the last look only."""

import json
import sqlite3
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.attempt import NOT_CHARGED, UNFINISHED, Direction, Status, better, verdict_from
from harness.ids import AttemptId
from harness.run.config import RunConfig, read_saved
from harness.run.folder import RunFolder, live_process
from harness.run.objectives import saved_objectives
from harness.run.reading import reading
from harness.search.pareto import Objective, ParetoFront

RATE_WINDOW_S = 900.0
"""The rate is that of the last quarter of an hour."""
RECENT = 8
"""So many heartbeats and events are shown."""
TOLD = ("warning", "crash", "endpoint", "team", "command")
"""Kinds of events a person who looks on wants to know of."""

_UNFINISHED = frozenset(status.value for status in UNFINISHED)
_NOT_CHARGED = frozenset(status.value for status in NOT_CHARGED)


@dataclass(frozen=True, slots=True)
class Improvement:
    """A point of the curve: the attempt that set a new best, and which evaluation it was."""

    evaluation: int
    score: float
    attempt: str
    agent: str
    at: float


@dataclass(frozen=True, slots=True)
class OpenDirective:
    """What an agent is asked to do now."""

    number: int
    operator: str
    base: str
    references: tuple[str, ...]
    reason: str
    since: float
    model: str | None


@dataclass(frozen=True, slots=True)
class AgentReport:
    """An agent: what it does and since when, what it has reached, what it has used."""

    agent: str
    state: str
    activity: str
    since: float
    role: str = ""
    focus: str = ""
    model: str | None = None
    directive: OpenDirective | None = None
    attempts: int = 0
    best: float | None = None
    tokens: int = 0
    cost_usd: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Happening:
    """A heartbeat or an event worth telling; `at` in seconds since the epoch."""

    at: float
    kind: str
    agent: str | None
    text: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment. Seconds, tokens, US dollars; a cost of None is unknown."""

    folder: RunFolder
    task: str
    direction: Direction
    config: RunConfig
    pid: int | None
    reason: str | None
    paused: str | None
    """Why the whole run stands still; None when it does not."""
    at: float
    evaluations: int
    attempts: int
    curve: tuple[Improvement, ...]
    rate_per_hour: float | None
    tokens: int
    cost_usd: float | None
    wall_s: float
    agents: tuple[AgentReport, ...]
    heartbeats: tuple[Happening, ...]
    """Those that fired last, newest first."""
    events: tuple[Happening, ...]
    """What else happened last, newest first."""
    front: tuple[AttemptId, ...] | None
    """The Pareto front, oldest first; None for a task with the score alone."""

    @property
    def state(self) -> str:
        """`running`, `ended`, or `interrupted` when its process died."""
        if self.pid is not None:
            return "running"
        return "interrupted" if self.reason is None else "ended"

    @property
    def best(self) -> Improvement | None:
        return self.curve[-1] if self.curve else None

    def budget_left(self) -> dict[str, float | None]:
        """What is left of each budget; None without that budget, or where its use is unknown."""
        limits = self.config.budget
        used: dict[str, float | None] = {
            "evaluations": self.evaluations,
            "hours": self.wall_s / 3600,
            "tokens": self.tokens,
            "usd": self.cost_usd,
        }
        return {
            name: None if limit is None or used[name] is None else max(0, limit - (used[name] or 0))
            for name, limit in limits.model_dump().items()
        }

    def best_so_far(self, points: int) -> list[float]:
        """The best score at so many evaluations from the first scored one to the last one."""
        if not self.curve:
            return []
        first, last = self.curve[0].evaluation, max(self.evaluations, self.curve[-1].evaluation)
        points = max(1, min(points, last - first + 1))
        found: list[float] = []
        place = 0
        for index in range(points):
            evaluation = first + round(index * (last - first) / max(1, points - 1))
            while place + 1 < len(self.curve) and self.curve[place + 1].evaluation <= evaluation:
                place += 1
            found.append(self.curve[place].score)
        return found


@dataclass(slots=True)
class _Spent:
    calls: int = 0
    priced: int = 0
    tokens: int = 0
    usd: float = 0.0

    def add(self, row: sqlite3.Row) -> None:
        self.calls += row["calls"]
        self.priced += row["priced"]
        self.tokens += row["tokens"]
        self.usd += row["usd"]

    @property
    def cost_usd(self) -> float | None:
        return self.usd if self.calls == self.priced else None


@dataclass(slots=True)
class _Achieved:
    attempts: int = 0
    best: float | None = None


@dataclass(slots=True)
class _Seen:
    """What was read so far."""

    attempt: int = -1
    attempts: int = 0
    unfinished: set[int] = field(default_factory=set[int])
    evaluations: int = 0
    judged_at: list[float] = field(default_factory=list[float])
    """When each charged verdict was given, in that order."""
    curve: list[Improvement] = field(default_factory=list[Improvement])
    agents: dict[str, _Achieved] = field(default_factory=dict[str, _Achieved])
    call: int = 0
    spent: dict[str, _Spent] = field(default_factory=dict[str, _Spent])
    event: int = 0
    events: deque[Happening] = field(default_factory=lambda: deque[Happening](maxlen=RECENT))


class StatusReader:
    """Looks at one run any number of times; each look costs what has changed since."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._seen = _Seen()
        self._config: tuple[tuple[int, int], RunConfig] | None = None
        self._front: ParetoFront | None = None

    @cached_property
    def _objectives(self) -> list[Objective]:
        return saved_objectives(self._folder)

    def read(self) -> RunStatus:
        """The run now."""
        folder, seen = self._folder, self._seen
        pid = live_process(folder)
        with reading(folder.database) as db:
            meta = {row["key"]: row["value"] for row in db.execute("SELECT * FROM meta")}
            direction: Direction = "minimize" if meta["direction"] == "minimize" else "maximize"
            if self._front is None and (objectives := self._objectives):
                self._front = ParetoFront(direction, objectives)
            sessions = db.execute("SELECT * FROM sessions ORDER BY id").fetchall()
            self._read_attempts(db, direction)
            self._read_calls(db)
            self._read_events(db)
            agents = self._agents(db)
            heartbeats = tuple(
                Happening(row["at"], row["rule"], row["agent"], row["reason"])
                for row in db.execute(
                    "SELECT * FROM interventions ORDER BY id DESC LIMIT ?", (RECENT,)
                )
            )
        now = time.time()
        began = sessions[-1]["started_at"] if sessions else now
        wall_s = sum(row["wall_s"] for row in sessions)
        every = list(seen.spent.values())
        return RunStatus(
            folder=folder,
            task=meta["task"],
            direction=direction,
            config=self._read_config(),
            pid=pid,
            reason=sessions[-1]["reason"] if sessions else None,
            paused=meta.get("paused") or None,
            at=now,
            evaluations=seen.evaluations,
            attempts=seen.attempts,
            curve=tuple(seen.curve),
            rate_per_hour=self._rate(now - began, now) if pid is not None else self._mean(wall_s),
            tokens=sum(spent.tokens for spent in every),
            cost_usd=None
            if any(spent.cost_usd is None for spent in every)
            else sum(spent.usd for spent in every),
            wall_s=wall_s,
            agents=agents,
            heartbeats=heartbeats,
            events=tuple(reversed(seen.events)),
            front=tuple(self._front.members) if self._front is not None else None,
        )

    def _read_config(self) -> RunConfig:
        stat = self._folder.config.stat()
        version = (stat.st_mtime_ns, stat.st_size)
        if self._config is None or self._config[0] != version:
            self._config = (version, read_saved(self._folder.config))
        return self._config[1]

    def _read_attempts(self, db: sqlite3.Connection, direction: Direction) -> None:
        seen = self._seen
        columns = "SELECT id, agent, status, evaluated_at, verdict FROM attempts WHERE "
        waited = sorted(seen.unfinished)
        marks = ",".join("?" * len(waited))
        rows = db.execute(f"{columns} id IN ({marks})", waited).fetchall()
        new = db.execute(f"{columns} id > ? ORDER BY id", (seen.attempt,)).fetchall()
        for row in new:
            seen.attempt = row["id"]
            seen.attempts += 1
            seen.agents.setdefault(row["agent"], _Achieved()).attempts += 1
        rows += new
        seen.unfinished |= {row["id"] for row in new}
        finished = [row for row in rows if row["status"] not in _UNFINISHED]
        seen.unfinished -= {row["id"] for row in finished}
        finished.sort(key=lambda row: (row["evaluated_at"] or 0.0, row["id"]))
        for row in finished:
            if row["verdict"] is not None and row["status"] not in _NOT_CHARGED:
                self._judged(row, direction)

    def _judged(self, row: sqlite3.Row, direction: Direction) -> None:
        seen = self._seen
        seen.evaluations += 1
        seen.judged_at.append(row["evaluated_at"])
        if row["status"] != Status.SCORED.value:
            return
        verdict = json.loads(row["verdict"])
        score: float = verdict["score"]
        if self._front is not None:
            self._front.observe(AttemptId(str(row["id"])), verdict_from(verdict))
        own = seen.agents[row["agent"]]
        if own.best is None or better(direction, score, own.best):
            own.best = score
        if not seen.curve or better(direction, score, seen.curve[-1].score):
            attempt = AttemptId(str(row["id"]))
            point = (seen.evaluations, score, attempt, row["agent"], row["evaluated_at"])
            seen.curve.append(Improvement(*point))

    def _read_calls(self, db: sqlite3.Connection) -> None:
        seen = self._seen
        for row in db.execute(
            "SELECT agent, COUNT(*) AS calls, COUNT(cost_usd) AS priced, MAX(id) AS last,"
            " SUM(prompt_tokens + completion_tokens) AS tokens,"
            " COALESCE(SUM(cost_usd), 0.0) AS usd"
            " FROM model_calls WHERE id > ? GROUP BY agent",
            (seen.call,),
        ).fetchall():
            seen.spent.setdefault(row["agent"], _Spent()).add(row)
            seen.call = max(seen.call, row["last"])

    def _read_events(self, db: sqlite3.Connection) -> None:
        seen = self._seen
        last = db.execute("SELECT COALESCE(MAX(sequence), 0) FROM events").fetchone()[0]
        marks = ",".join("?" * len(TOLD))
        for row in db.execute(
            "SELECT at, kind, agent, data FROM events WHERE sequence > ? AND sequence <= ?"
            f" AND kind IN ({marks}) ORDER BY sequence",
            (seen.event, last, *TOLD),
        ):
            data: dict[str, Any] = json.loads(row["data"])
            seen.events.append(Happening(row["at"], row["kind"], row["agent"], _told(data)))
        seen.event = last

    def _agents(self, db: sqlite3.Connection) -> tuple[AgentReport, ...]:
        team = {row["agent"]: row for row in db.execute("SELECT * FROM team")}
        directives = {
            row["agent"]: _directive(row)
            for row in db.execute("SELECT * FROM directives WHERE closed_at IS NULL")
        }
        nothing, no_calls = _Achieved(), _Spent()
        reports: list[AgentReport] = []
        for row in db.execute("SELECT * FROM agents ORDER BY length(agent), agent"):
            agent = row["agent"]
            directive, member = directives.get(agent), team.get(agent)
            achieved = self._seen.agents.get(agent, nothing)
            spent = self._seen.spent.get(agent, no_calls)
            report = AgentReport(
                agent=agent,
                state=row["state"],
                activity=row["activity"],
                since=row["since"],
                role=member["role"] if member else "",
                focus=member["focus"] if member else "",
                model=(directive.model if directive else None)
                or (member["model"] if member else None),
                directive=directive,
                attempts=achieved.attempts,
                best=achieved.best,
                tokens=spent.tokens,
                cost_usd=spent.cost_usd,
            )
            reports.append(report)
        return tuple(reports)

    def _rate(self, session_s: float, now: float) -> float | None:
        """Evaluations per hour, of the last quarter of an hour, none before the last resume."""
        window = min(session_s, RATE_WINDOW_S)
        if window <= 0:
            return None
        judged = self._seen.judged_at
        return (len(judged) - bisect_left(judged, now - window)) / window * 3600

    def _mean(self, wall_s: float) -> float | None:
        return self._seen.evaluations / wall_s * 3600 if wall_s > 0 else None


def _directive(row: sqlite3.Row) -> OpenDirective:
    return OpenDirective(
        number=row["number"],
        operator=row["operator"],
        base=str(row["base"]),
        references=tuple(str(reference) for reference in json.loads(row["refs"])),
        reason=row["reason"],
        since=row["created_at"],
        model=row["model"],
    )


def _told(data: Mapping[str, Any]) -> str:
    """An event's data in words, whatever its kind."""
    if "command" in data:
        arguments: dict[str, Any] = data.get("arguments") or {}
        said = [f"{key}={value}" for key, value in arguments.items() if value not in (None, False)]
        return " ".join([str(data["command"]), *said]) + f": {data.get('answer', '')}"
    if "text" in data:
        return str(data["text"])
    return ", ".join(f"{key} {value}" for key, value in data.items() if value not in (None, ""))
