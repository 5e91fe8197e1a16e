"""What heartbeats did, and what came after: read from the store of live, dead and copied runs."""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.agents.heartbeats.base import HeartbeatRule, Mark, TeamView
from harness.agents.heartbeats.triggers import NEVER, Case, outlook, summary
from harness.attempt import Attempt, Status
from harness.clock import SystemClock, isoformat
from harness.events import SCHEMA_VERSION
from harness.ids import AgentId, AttemptId
from harness.run.budget import format_budget
from harness.run.database import Database
from harness.run.folder import RunFolder
from harness.run.interventions import InterventionTable
from harness.run.reading import reading
from harness.run.rules import heartbeat_rules
from harness.run.standings import Standings
from harness.run.views import RunView, read_run


@dataclass(frozen=True, slots=True)
class Told:
    """A message and when its agent was given it (seconds since the epoch)."""

    agent: str
    text: str
    delivered_at: float | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Attempts in a row: how they ended, what was done, on which branches."""

    attempts: tuple[str, ...] = ()
    best: float | None = None
    statuses: Mapping[str, int] = field(default_factory=dict[str, int])
    operators: Mapping[str, int] = field(default_factory=dict[str, int])
    branches: tuple[str, ...] = ()
    """The attempts that branches began with, those below the seed."""


@dataclass(frozen=True, slots=True)
class FiringView:
    """A firing or a user's message: why, what was done, what was before and after."""

    number: int | None
    at: float
    rule: str
    key: str
    subject: str
    """The agent that was looked at; empty: the team."""
    reason: str
    action: str
    targets: tuple[str, ...]
    outcome: str
    note: str | None
    """The record of the note that it asked for and that was passed on."""
    evaluations: int
    best: float | None
    """Of whom it looked at, when it fired."""
    team_evaluations: int | None
    team_best: float | None
    told: tuple[Told, ...]
    before: Stretch
    after: Stretch
    improved: bool
    """Whether what came after beats the best of before."""


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule and how it stands, for each agent or (under the empty name) for the team."""

    rule: HeartbeatRule
    trigger: str
    fired: int
    last_at: float | None
    subjects: Mapping[str, tuple[Mark, str]]
    """The last firing, and when the next one is due by counts."""


def read_firings(folder: RunFolder, *, within: int = 5) -> list[FiringView]:
    """All firings and user's messages, oldest first, each with the next `within` attempts of each
    agent that it reached."""
    view = read_run(folder)
    history = _History(view, within)
    with reading(folder.database) as db:
        messages = db.execute("SELECT * FROM interventions ORDER BY id").fetchall()
        fired = db.execute("SELECT * FROM fired ORDER BY id").fetchall()
    of_firing: dict[int, list[sqlite3.Row]] = {}
    for row in messages:
        if row["firing"] is not None:
            of_firing.setdefault(row["firing"], []).append(row)
    found = [_fired(row, of_firing.get(row["id"], []), history) for row in fired]
    found += [_said(row, history) for row in messages if row["firing"] is None]
    return sorted(found, key=lambda each: each.at)


def read_rules(folder: RunFolder) -> list[RuleView]:
    """The rules in force, of a run that is not live those of its resume, and how they stand."""
    view = read_run(folder)
    rules = heartbeat_rules(view.config)
    standings = Standings(view.direction, (rule.epsilon for rule in rules))
    attempts = {attempt.id: attempt for attempt in view.attempts}
    with reading(folder.database) as db:
        table = InterventionTable(Database(db, SystemClock()))
        marks = table.marks()
        since = {each["rule"]["name"]: each["since"] for each in table.rules() or ()}
        for entry in table.entries():
            attempt = attempts.get(AttemptId(entry.attempt or ""))
            if attempt is not None and entry.kind == "verdict":
                standings.observe(attempt)
    team = replace(
        standings.team(), budget_used=_used(view), limits=format_budget(view.config.budget)
    )
    return [_rule(rule, team, marks, since.get(rule.name, {}), view) for rule in rules]


def log_document(folder: RunFolder, firings: Iterable[FiringView]) -> dict[str, Any]:
    """`harness heartbeat log RUN --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run": folder.id,
        "firings": [_firing_document(firing) for firing in firings],
    }


def rules_document(folder: RunFolder, rules: Iterable[RuleView]) -> dict[str, Any]:
    """`harness heartbeat list RUN --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run": folder.id,
        "rules": [
            {
                **each.rule.model_dump(mode="json"),
                "fired": each.fired,
                "last_at": None if each.last_at is None else isoformat(each.last_at),
                "subjects": [
                    {
                        "agent": agent or None,
                        "fired": mark.fired,
                        "last_at": None if mark.at is None else isoformat(mark.at),
                        "last_evaluations": mark.evaluations if mark.fired else None,
                        "next": due or None,
                    }
                    for agent, (mark, due) in each.subjects.items()
                ],
            }
            for each in rules
        ],
    }


class _History:
    """The attempts that count, by agent, in the order in which they were submitted."""

    def __init__(self, view: RunView, within: int) -> None:
        self._within = within
        self._attempts = {attempt.id: attempt for attempt in view.attempts}
        self._minimize = view.minimize
        self._branches: dict[AttemptId, str] = {}
        self._of: dict[str, list[Attempt]] = {}
        for attempt in view.attempts:
            if attempt.status is not Status.DUPLICATE and attempt.verdict is not None:
                self._of.setdefault(attempt.agent, []).append(attempt)

    def around(self, starts: Mapping[str, float | None]) -> tuple[Stretch, Stretch]:
        """Before and after a moment of each agent; None: it has not come."""
        before: list[Attempt] = []
        after: list[Attempt] = []
        for agent, start in starts.items():
            own = self._of.get(agent, [])
            at = float("inf") if start is None else start
            before += [attempt for attempt in own if attempt.created_at < at][-self._within :]
            after += [attempt for attempt in own if attempt.created_at >= at][: self._within]
        return self._stretch(before), self._stretch(after)

    def is_better(self, score: float | None, than: float | None) -> bool:
        """Whether a score beats another one; any beats none."""
        if score is None or than is None:
            return score is not None
        return score < than if self._minimize else score > than

    def _stretch(self, attempts: Sequence[Attempt]) -> Stretch:
        best: float | None = None
        for attempt in attempts:
            if self.is_better(attempt.score, best):
                best = attempt.score
        return Stretch(
            tuple(attempt.id for attempt in attempts),
            best,
            _counted(attempt.status.value for attempt in attempts),
            _counted(attempt.operator.value for attempt in attempts),
            tuple(dict.fromkeys(self._branch(attempt.id) for attempt in attempts)),
        )

    def _branch(self, attempt: AttemptId) -> str:
        """The attempt below the seed that this one descends from."""
        line = [attempt]
        while line[-1] not in self._branches:
            parents = self._attempts[line[-1]].parents
            if not parents or not self._attempts[parents[0]].parents:
                self._branches[line[-1]] = line[-1]
                break
            line.append(parents[0])
        root = self._branches[line[-1]]
        self._branches.update(dict.fromkeys(line, root))
        return root


def _fired(row: sqlite3.Row, messages: Sequence[sqlite3.Row], history: _History) -> FiringView:
    targets = tuple(json.loads(row["targets"]))
    told = tuple(map(_told, messages))
    starts: dict[str, float | None] = {}
    if not told:
        starts = dict.fromkeys(targets, row["at"])
    for each in told:
        starts.setdefault(each.agent, each.delivered_at)
    before, after = history.around(starts)
    return FiringView(
        number=row["id"],
        at=row["at"],
        rule=row["rule"],
        key=row["key"],
        subject=row["subject"],
        reason=row["reason"],
        action=json.loads(row["action"]).get("do", "prompt"),
        targets=targets,
        outcome="waits to be performed" if row["outcome"] is None else row["outcome"],
        note=row["note"],
        evaluations=row["evaluations"],
        best=row["best"],
        team_evaluations=row["team_evaluations"],
        team_best=row["team_best"],
        told=told,
        before=before,
        after=after,
        improved=history.is_better(after.best, row["best"]),
    )


def _said(row: sqlite3.Row, history: _History) -> FiringView:
    """A message that no rule sent."""
    before, after = history.around({row["agent"]: row["delivered_at"]})
    return FiringView(
        number=None,
        at=row["at"],
        rule=row["rule"],
        key="",
        subject=row["agent"],
        reason=row["reason"],
        action=row["action"],
        targets=(row["agent"],),
        outcome="",
        note=None,
        evaluations=row["evaluations"],
        best=before.best,
        team_evaluations=None,
        team_best=None,
        told=(_told(row),),
        before=before,
        after=after,
        improved=history.is_better(after.best, before.best),
    )


def _told(row: sqlite3.Row) -> Told:
    return Told(row["agent"], row["text"], row["delivered_at"])


def _counted(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def _rule(
    rule: HeartbeatRule,
    team: TeamView,
    marks: Mapping[tuple[str, str], Mark],
    since: Mapping[str, int],
    view: RunView,
) -> RuleView:
    names = [""] if rule.scope == "team" else [agent.agent for agent in view.agents]
    known = {agent.agent: agent for agent in team.agents}
    subjects: dict[str, tuple[Mark, str]] = {}
    for name in names:
        mark = marks.get((rule.name, name), NEVER)
        begun = mark
        if rule.trigger == "interval" and since.get(name, 0) > mark.evaluations:
            begun = replace(mark, evaluations=since[name])
        agent = None if rule.scope == "team" else known.get(AgentId(name))
        if rule.scope == "agent" and agent is None:
            subjects[name] = (mark, "")
            continue
        subjects[name] = (mark, outlook(Case(rule, agent, team, begun, time.time())))
    own = [mark for (name, _), mark in marks.items() if name == rule.name]
    return RuleView(
        rule=rule,
        trigger=summary(rule),
        fired=sum(mark.fired for mark in own),
        last_at=max((mark.at for mark in own if mark.at is not None), default=None),
        subjects=subjects,
    )


def _used(view: RunView) -> float:
    """The largest used share of any budget."""
    limits = view.config.budget
    pairs = (
        (view.evaluations, limits.evaluations),
        (view.wall_s / 3600, limits.hours),
        (view.tokens, limits.tokens),
        (view.cost_usd or 0.0, limits.usd),
    )
    return min(1.0, max((used / limit for used, limit in pairs if limit), default=0.0))


def _firing_document(firing: FiringView) -> dict[str, Any]:
    return {
        "number": firing.number,
        "at": isoformat(firing.at),
        "rule": firing.rule,
        "key": firing.key,
        "agent": firing.subject or None,
        "reason": firing.reason,
        "action": firing.action,
        "targets": list(firing.targets),
        "outcome": firing.outcome,
        "note": firing.note,
        "evaluations": firing.evaluations,
        "best": firing.best,
        "team_evaluations": firing.team_evaluations,
        "team_best": firing.team_best,
        "told": [
            {
                "agent": each.agent,
                "text": each.text,
                "delivered_at": None if each.delivered_at is None else isoformat(each.delivered_at),
            }
            for each in firing.told
        ],
        "before": _stretch_document(firing.before),
        "after": _stretch_document(firing.after),
        "improved": firing.improved,
    }


def _stretch_document(stretch: Stretch) -> dict[str, Any]:
    return {
        "attempts": list(stretch.attempts),
        "best": stretch.best,
        "statuses": dict(stretch.statuses),
        "operators": dict(stretch.operators),
        "branches": list(stretch.branches),
    }
