"""The rule engine: which rules fire, for whom, and what they say. Pure; `run` delivers and
journals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.agents.heartbeats.base import (
    AgentView,
    Firing,
    HeartbeatRule,
    Intervention,
    Mark,
    Marks,
    TeamView,
)
from harness.agents.heartbeats.config import default_rules
from harness.agents.heartbeats.messages import (
    ConditionError,
    check_rules,
    condition_holds,
    message,
)
from harness.agents.heartbeats.triggers import NEVER, Case, alike_pair, cooled, due

__all__ = ["Judgement", "check_rules", "default_rules", "evaluate_rules"]

STALLED_S = 600.0
"""From here on `to: stalled` counts an agent as stalled, unless the rule says for how long."""

_WITHOUT_MESSAGE = frozenset({"retire", "spawn", "fork"})
"""Actions whose message has nobody to go to, or somebody who is still to come."""


@dataclass(slots=True)
class Judgement:
    """What the rules have to say now, in their order, and the conditions that failed."""

    firings: list[Firing] = field(default_factory=list[Firing])
    problems: dict[str, str] = field(default_factory=dict[str, str])
    """By rule, why its condition cannot be decided; it counts as not met."""


def evaluate_rules(
    rules: Sequence[HeartbeatRule],
    team: TeamView,
    marks: Marks,
    now: float,
    *,
    only: Sequence[AgentView] | None = None,
    folders: Sequence[Path] = (),
) -> Judgement:
    """Ask every rule about the team, or about each agent that takes part.

    A rule fires as soon as its trigger, its cooldown and its condition allow it: one that is held
    back is not lost. Whoever calls this keeps each firing's `mark` under (rule, subject) for the
    next time; with it, asking again changes nothing.

    Args:
        rules: In the order in which they speak.
        team: What there is to see.
        marks: What was kept of earlier firings.
        now: Seconds since the epoch.
        only: Ask about the team and these agents; by default about all.
        folders: Where templates are looked for before the shipped ones.
    """
    judgement = Judgement()
    for rule in rules:
        agents = team.agents if only is None else only
        subjects: Sequence[AgentView | None] = (None,) if rule.scope == "team" else agents
        for agent in subjects:
            if agent is not None and not agent.active:
                continue
            subject = "" if agent is None else agent.agent
            case = Case(rule, agent, team, marks.get((rule.name, subject), NEVER), now)
            if not (reason := due(case)) or not cooled(case):
                continue
            try:
                if not condition_holds(rule, team, agent):
                    continue
            except ConditionError as error:
                judgement.problems[rule.name] = str(error)
                continue
            firing = _fire(case, subject, reason, folders)
            if firing is not None:
                judgement.firings.append(firing)
    return judgement


def _fire(case: Case, subject: str, reason: str, folders: Sequence[Path]) -> Firing | None:
    """The firing; None when there is nobody whom it would reach."""
    rule, team, fired = case.rule, case.team, case.mark.fired + 1
    listeners, targets = _reached(case)
    if not targets and rule.action.do != "spawn":
        return None
    # A new name for each firing of each subject: what is made of it can be told apart.
    key = f"{rule.name}-{subject}-{fired}" if subject else f"{rule.name}-{fired}"
    return Firing(
        rule=rule,
        subject=subject,
        key=key,
        reason=reason,
        targets=targets,
        interventions=tuple(
            Intervention(
                rule.name,
                agent.agent,
                reason,
                message(rule, team, agent, reason=reason, key=key, folders=folders),
                rule.action.do,
                rule.urgent,
            )
            for agent in listeners
        ),
        mark=Mark(case.count, case.now, team.limits, fired),
    )


def _reached(case: Case) -> tuple[tuple[AgentView, ...], tuple[str, ...]]:
    """Who is told something, and whom the action is about."""
    rule, team = case.rule, case.team
    if rule.action.do == "merge":
        pair = alike_pair(team, rule.similarity)
        if pair is None:
            return (), ()
        # The run tells the one that stays what the other leaves; a rule may say more.
        return (pair[1],) if rule.prompt is not None else (), (pair[0].agent, pair[1].agent)
    agents = (case.agent,) if case.agent is not None else _recipients(case)
    names = tuple(agent.agent for agent in agents)
    return (() if rule.action.do in _WITHOUT_MESSAGE else agents), names


def _recipients(case: Case) -> tuple[AgentView, ...]:
    """The agents a team rule names."""
    rule, team = case.rule, case.team
    active = team.active
    if not active or rule.reach == "all":
        return active
    if rule.reach == "next":
        return (active[case.mark.fired % len(active)],)
    if rule.reach == "stalled":
        least = rule.minutes * 60 if rule.trigger == "stall" and rule.minutes else STALLED_S
        return tuple(agent for agent in active if agent.stalled_s >= least)
    if rule.reach in ("best", "worst"):
        return (team.ranked()[0 if rule.reach == "best" else -1],)
    return tuple(agent for agent in active if agent.agent == rule.reach)
