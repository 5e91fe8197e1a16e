"""How each agent and the team stand; rebuilt from the attempts, so a resume changes nothing."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness.agents.heartbeats.base import AgentView, AttemptView, TeamView
from harness.agents.heartbeats.config import MAX_WINDOW
from harness.attempt import Attempt, Direction, Status, better
from harness.ids import SEED_AGENT, AgentId, AttemptId

TEAM_WINDOW = 4 * MAX_WINDOW
"""The team's newest attempts that rules can look back over."""


@dataclass(slots=True)
class _Streak:
    """Attempts since the last gain that was larger than an epsilon.

    Small gains add up: it is against the score of the last large one that a gain is measured.
    """

    reference: float | None = None
    since: int = 0


@dataclass(slots=True)
class _Standing:
    """An agent's, or the team's."""

    window: int
    evaluations: int = 0
    best: Attempt | None = None
    last: Attempt | None = None
    streaks: dict[float, _Streak] = field(default_factory=dict[float, _Streak])
    recent: deque[AttemptView] = field(init=False)

    def __post_init__(self) -> None:
        self.recent = deque(maxlen=self.window)


class Standings:
    """Counts finished attempts per agent, in the order of their verdicts."""

    def __init__(self, direction: Direction, epsilons: Iterable[float] = ()) -> None:
        self._direction: Direction = direction
        self._agents: dict[AgentId, _Standing] = {}
        self._team = _Standing(TEAM_WINDOW)
        self._history: list[tuple[AgentId, float | None]] = []
        self._epsilons: set[float] = {0.0}
        self.watch(epsilons)

    def watch(self, epsilons: Iterable[float]) -> None:
        """Count streaks for these epsilons too, from the beginning on."""
        new = set(epsilons) - self._epsilons
        self._epsilons |= new
        for agent, score in self._history:
            self._count(agent, score, new)

    def observe(self, attempt: Attempt) -> None:
        """Learn of a finished attempt. Only those that are charged count."""
        if attempt.status is Status.DUPLICATE:
            view = attempt_view(attempt)
            self._standing(attempt.agent).recent.append(view)
            self._team.recent.append(view)
            return
        if attempt.verdict is None or not attempt.verdict.charged:
            return
        self._history.append((attempt.agent, attempt.score))
        self._count(attempt.agent, attempt.score, self._epsilons)
        standings = [self._team]
        if attempt.agent != SEED_AGENT:
            standings.append(self._standing(attempt.agent))
        for standing in standings:
            best = standing.best.score if standing.best is not None else None
            if attempt.score is not None and self._is_better(attempt.score, best):
                standing.best = attempt
            if attempt.agent != SEED_AGENT:
                standing.evaluations += 1
                standing.last = attempt
                standing.recent.append(attempt_view(attempt))

    def _count(self, agent: AgentId, score: float | None, epsilons: Iterable[float]) -> None:
        mine = [self._team] if agent == SEED_AGENT else [self._team, self._standing(agent)]
        for standing in mine:
            for epsilon in epsilons:
                streak = standing.streaks.setdefault(epsilon, _Streak())
                if score is not None and self._is_gain(score, streak.reference, epsilon):
                    streak.reference = score
                    streak.since = 0
                elif agent != SEED_AGENT:
                    streak.since += 1

    @property
    def agents(self) -> list[AgentId]:
        """Those who have attempts."""
        return list(self._agents)

    def evaluations(self, agent: AgentId | None = None) -> int:
        """Finished attempts of an agent, or of all."""
        if agent is None:
            return self._team.evaluations
        return self._agents[agent].evaluations if agent in self._agents else 0

    def agent(self, agent: AgentId) -> AgentView:
        """What there is to see of an agent's attempts."""
        standing = self._agents.get(agent)
        if standing is None:
            return AgentView(agent)
        best, last = standing.best, standing.last
        return AgentView(
            agent=agent,
            evaluations=standing.evaluations,
            since_improvement=standing.streaks[0.0].since if standing.streaks else 0,
            best_score=best.score if best else None,
            best_attempt=best.id if best else None,
            last_score=last.score if last else None,
            last_title=last.title if last else "",
            streaks={epsilon: streak.since for epsilon, streak in standing.streaks.items()},
            recent=tuple(standing.recent),
        )

    def team(self, agents: Sequence[AgentView] | None = None) -> TeamView:
        """What there is to see of the attempts of all. By default whoever has attempts is in the
        team."""
        team = self._team
        if agents is None:
            agents = tuple(self.agent(agent) for agent in self._agents)
        return TeamView(
            evaluations=team.evaluations,
            best_score=team.best.score if team.best else None,
            best_attempt=team.best.id if team.best else None,
            best_agent=team.best.agent if team.best else None,
            agents=agents,
            since_improvement=team.streaks[0.0].since if team.streaks else 0,
            minimize=self._direction == "minimize",
            streaks={epsilon: streak.since for epsilon, streak in team.streaks.items()},
            recent=tuple(team.recent),
        )

    def newest(self, agent: AgentId) -> AttemptId | None:
        """The agent's last attempt that was judged."""
        standing = self._agents.get(agent)
        return standing.last.id if standing is not None and standing.last is not None else None

    def _standing(self, agent: AgentId) -> _Standing:
        return self._agents.setdefault(agent, _Standing(MAX_WINDOW))

    def _is_better(self, score: float, best: float | None) -> bool:
        return best is None or better(self._direction, score, best)

    def _is_gain(self, score: float, reference: float | None, epsilon: float) -> bool:
        if reference is None:
            return True
        gain = abs(score - reference)
        return better(self._direction, score, reference) and gain > epsilon * abs(reference)


def attempt_view(attempt: Attempt) -> AttemptView:
    """An attempt that ended as rules see it."""
    return AttemptView(
        id=attempt.id,
        agent=attempt.agent,
        operator=attempt.operator.value,
        status=attempt.status.value,
        score=attempt.score,
        title=attempt.title,
        base=attempt.parents[0] if attempt.parents else "",
        tree=attempt.tree,
        at=attempt.evaluated_at or attempt.created_at,
    )


def finished_in_order(attempts: list[Attempt]) -> list[Attempt]:
    """Attempts with a verdict of their own, in the order of their verdicts."""
    finished = [
        attempt
        for attempt in attempts
        if attempt.verdict is not None and attempt.status is not Status.DUPLICATE
    ]
    return sorted(finished, key=lambda attempt: (attempt.evaluated_at or 0.0, int(attempt.id)))
