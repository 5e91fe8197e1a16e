"""Whether a rule is due: one pure function a trigger."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from harness.agents.heartbeats.base import AgentView, AttemptView, Mark, TeamView
from harness.agents.heartbeats.config import HeartbeatRule, Trigger

NEVER = Mark(0)


@dataclass(frozen=True, slots=True)
class Case:
    """A rule asked about an agent (None: the team) now, in seconds since the epoch."""

    rule: HeartbeatRule
    agent: AgentView | None
    team: TeamView
    mark: Mark
    now: float

    @property
    def view(self) -> AgentView | TeamView:
        return self.team if self.agent is None else self.agent

    @property
    def count(self) -> int:
        """Evaluations of whom the rule looks at."""
        return self.view.evaluations

    @property
    def since_fired_s(self) -> float:
        """Since the rule's last firing; without one, for ever."""
        return float("inf") if self.mark.at is None else self.now - self.mark.at


def due(case: Case) -> str:
    """Why the trigger is pulled now; empty when it is not. Cooldown and condition come after."""
    return _TRIGGERS[case.rule.trigger](case)


def cooled(case: Case) -> bool:
    """Whether the rule's cooldown is over."""
    if case.mark.at is None:
        return True
    cooldown = case.rule.cooldown
    attempts = case.count - case.mark.evaluations >= cooldown.attempts
    return attempts and case.since_fired_s >= cooldown.minutes * 60


def summary(rule: HeartbeatRule) -> str:
    """A rule's trigger in a few words."""
    whose = "the team's" if rule.scope == "team" else "an agent's"
    return {
        "interval": f"every {rule.every} of {whose} attempts",
        "plateau": f"{rule.every} of {whose} attempts without a best"
        + (f" by more than {rule.epsilon:.3g}" if rule.epsilon else ""),
        "silence": f"{rule.minutes or 0:g} min without a submission",
        "stall": f"{rule.minutes or 0:g} min without an event",
        "crashes": f"{rule.every} crashes within {rule.minutes or 0:g} min",
        "budget": f"{rule.fraction or 1:.0%} of the budget used",
        "convergence": f"{rule.threshold:.0%} of {whose} last {rule.every} are near-copies",
    }[rule.trigger]


def outlook(case: Case) -> str:
    """When the rule is due next, as far as counts tell; empty when only time does."""
    rule, count = case.rule, case.count
    if rule.trigger == "interval":
        every = _every(rule)
        due_at = (max(count, case.mark.evaluations) // every + 1) * every
        return f"at {due_at} (now {count})" if not due(case) else f"due (now {count})"
    if rule.trigger == "plateau":
        return f"{case.view.since(rule.epsilon)} of {rule.every} (now {count})"
    if rule.trigger == "budget":
        fired = case.mark.at is not None and case.mark.limits == case.team.limits
        return "done" if fired else f"now {case.team.budget_used:.0%}"
    return ""


def near_copies(case: Case) -> tuple[int, int]:
    """How many of the newest attempts are near-copies of one before them, and of how many."""
    window = case.view.recent[-_every(case.rule) :]
    alike, least = case.team.alike, case.rule.similarity
    copies = sum(
        any(alike(earlier, attempt) >= least for earlier in window[:index])
        for index, attempt in enumerate(window)
    )
    return copies, len(window)


def alike_pair(team: TeamView, least: float) -> tuple[AgentView, AgentView] | None:
    """The two active agents that are most on one lane: the weaker one, and the one that stays.

    The same claim counts as equal; else how alike their attempts among the newest are.
    """
    ranked = team.ranked()
    found: tuple[float, AgentView, AgentView] | None = None
    for place, strong in enumerate(ranked):
        for weak in ranked[place + 1 :]:
            same = bool(weak.focus) and weak.focus.casefold() == strong.focus.casefold()
            degree = 1.0 if same else _closeness(team, weak.agent, strong.agent)
            if degree >= least and (found is None or degree > found[0]):
                found = (degree, weak, strong)
    return None if found is None else (found[1], found[2])


def _closeness(team: TeamView, left: str, right: str) -> float:
    """How alike each of one's newest attempts is to its nearest of the other's, on average."""
    mine = [attempt for attempt in team.recent if attempt.agent == left][-_COMPARED:]
    theirs = [attempt for attempt in team.recent if attempt.agent == right][-_COMPARED:]
    if len(mine) < _COMPARED or len(theirs) < _COMPARED:
        return 0.0
    return sum(_nearest(team, attempt, theirs) for attempt in mine) / len(mine)


def _nearest(team: TeamView, attempt: AttemptView, others: list[AttemptView]) -> float:
    return max(team.alike(attempt, other) for other in others)


_COMPARED = 3
"""Newest attempts of two agents that are compared before they count as on one lane."""


def _interval(case: Case) -> str:
    every, count = _every(case.rule), case.count
    if count // every <= case.mark.evaluations // every:
        return ""
    whose = "the team has " if case.agent is None else ""
    return f"{whose}{count} evaluations, a heartbeat every {every}"


def _plateau(case: Case) -> str:
    every = _every(case.rule)
    since = case.view.since(case.rule.epsilon)
    if since < every:
        return ""
    if case.mark.at is not None and case.count - case.mark.evaluations < every:
        return ""
    whose = "team" if case.agent is None else "personal"
    above = f" by more than {case.rule.epsilon:.3g} of it" if case.rule.epsilon else ""
    return f"{since} evaluations without a {whose} best{above}"


def _silence(case: Case) -> str:
    seconds = _seconds(case.rule)
    if min(case.view.silent_s, case.since_fired_s) < seconds:
        return ""
    return f"{_minutes(case.view.silent_s)} without a submission"


def _stall(case: Case) -> str:
    seconds = _seconds(case.rule)
    if min(case.view.stalled_s, case.since_fired_s) < seconds:
        return ""
    agent = case.agent
    if agent is None or not agent.busy:
        return f"{_minutes(case.view.stalled_s)} without a model or tool event"
    limit = "" if agent.busy_limit_s is None else f", its limit is {_minutes(agent.busy_limit_s)}"
    return f"{_minutes(agent.busy_s)} in one {agent.busy}{limit}"


def _crashes(case: Case) -> str:
    window = min(_seconds(case.rule), case.since_fired_s)
    count = sum(age < window for age in case.view.crash_ages)
    if count < _every(case.rule):
        return ""
    return f"{count} crashes within {_minutes(_seconds(case.rule))}"


def _budget(case: Case) -> str:
    fraction = case.rule.fraction or 1.0
    if case.team.budget_used < fraction:
        return ""
    if case.mark.at is not None and case.mark.limits == case.team.limits:
        return ""
    return f"{case.team.budget_used:.0%} of the budget is used"


def _convergence(case: Case) -> str:
    every = _every(case.rule)
    window = case.view.recent[-every:]
    if len(window) < every or (case.mark.at is not None and window[0].at <= case.mark.at):
        return ""
    copies, total = near_copies(case)
    if copies < case.rule.threshold * (total - 1):
        return ""
    return f"{copies} of the last {total} attempts are near-copies of one before them"


_TRIGGERS: Final[Mapping[Trigger, Callable[[Case], str]]] = {
    "interval": _interval,
    "plateau": _plateau,
    "silence": _silence,
    "stall": _stall,
    "crashes": _crashes,
    "budget": _budget,
    "convergence": _convergence,
}


def _every(rule: HeartbeatRule) -> int:
    assert rule.every is not None, "the rule's own check asks for it"
    return rule.every


def _seconds(rule: HeartbeatRule) -> float:
    assert rule.minutes is not None, "the rule's own check asks for it"
    return rule.minutes * 60


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
