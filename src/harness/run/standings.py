"""How each agent and the team stand; rebuilt from the attempts, so a resume changes nothing."""

from dataclasses import dataclass

from harness.agents.heartbeats.base import AgentView, TeamView
from harness.attempt import Attempt, Direction, Status, better
from harness.ids import SEED_AGENT, AgentId


@dataclass(slots=True)
class _Standing:
    evaluations: int = 0
    since_improvement: int = 0
    best_score: float | None = None
    last_score: float | None = None
    last_title: str = ""


class Standings:
    """Counts finished attempts per agent, in the order of their verdicts."""

    def __init__(self, direction: Direction, fired: dict[str, dict[str, int]]) -> None:
        self._direction: Direction = direction
        self._agents: dict[AgentId, _Standing] = {}
        self._fired = fired
        self._best: Attempt | None = None
        self._evaluations = 0

    def observe(self, attempt: Attempt) -> None:
        """Learn of a finished attempt. Only those that are charged count."""
        if attempt.verdict is None or not attempt.verdict.charged:
            return
        self._evaluations += 1
        score = attempt.score
        if score is not None and self._is_better(score, self._best.score if self._best else None):
            self._best = attempt
        if attempt.agent == SEED_AGENT:
            return
        standing = self._agents.setdefault(attempt.agent, _Standing())
        standing.evaluations += 1
        standing.last_score = score
        standing.last_title = attempt.title
        if score is not None and self._is_better(score, standing.best_score):
            standing.best_score = score
            standing.since_improvement = 0
        else:
            standing.since_improvement += 1

    def fire(self, agent: AgentId, rule: str) -> int:
        """Remember that a rule fired now; returns the agent's count of evaluations."""
        evaluations = self._agents[agent].evaluations
        self._fired.setdefault(agent, {})[rule] = evaluations
        return evaluations

    def agent(self, agent: AgentId) -> AgentView:
        """What heartbeat rules see of an agent."""
        standing = self._agents.get(agent, _Standing())
        return AgentView(
            agent=agent,
            evaluations=standing.evaluations,
            since_improvement=standing.since_improvement,
            best_score=standing.best_score,
            last_score=standing.last_score,
            last_title=standing.last_title,
            last_fired=dict(self._fired.get(agent, {})),
        )

    def team(self) -> TeamView:
        """What heartbeat rules see of the team."""
        return TeamView(
            evaluations=self._evaluations,
            best_score=self._best.score if self._best else None,
            best_attempt=self._best.id if self._best else None,
            best_agent=self._best.agent if self._best else None,
            agents=[self.agent(agent) for agent in self._agents],
        )

    def _is_better(self, score: float, best: float | None) -> bool:
        return best is None or better(self._direction, score, best)


def finished_in_order(attempts: list[Attempt]) -> list[Attempt]:
    """Attempts with a verdict of their own, in the order of their verdicts."""
    finished = [
        attempt
        for attempt in attempts
        if attempt.verdict is not None and attempt.status is not Status.DUPLICATE
    ]
    return sorted(finished, key=lambda attempt: (attempt.evaluated_at or 0.0, int(attempt.id)))
