"""What heartbeat rules see, and what they say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.agents.heartbeats.config import Action, HeartbeatRule

__all__ = [
    "Action",
    "AgentView",
    "AttemptView",
    "Busy",
    "Firing",
    "HeartbeatRule",
    "Intervention",
    "Mark",
    "Marks",
    "TeamView",
    "equal_trees",
]

Busy = Literal["model", "command", "verdict", "paused", ""]
"""What an agent waits for: an answer of its model, a command it runs, a verdict, the end of a
pause; empty: nothing, it works by itself."""

MARGIN_S = 1.0
MARGIN = 1.1
"""An activity may take so much longer than its own limit before it counts as hung."""


@dataclass(frozen=True, slots=True)
class AttemptView:
    """What a rule sees of an attempt that ended: judged, or the same as an earlier one."""

    id: str
    agent: str
    operator: str
    status: str
    score: float | None
    title: str
    base: str
    tree: str
    at: float
    """When it ended, in seconds since the epoch."""


Alike = Callable[[AttemptView, AttemptView], float]
"""How alike two attempts are, from 0 to 1."""


def equal_trees(left: AttemptView, right: AttemptView) -> float:
    """1 for the same tree, else 0: what can be told without reading files."""
    return 1.0 if left.tree == right.tree else 0.0


@dataclass(frozen=True, slots=True)
class AgentView:
    """What a rule sees of an agent; counted from the store, so it survives a resume.

    `evaluations` are the agent's finished attempts; `since_improvement` those since its last
    personal best (failures count). Durations are in seconds.
    """

    agent: str
    evaluations: int = 0
    since_improvement: int = 0
    best_score: float | None = None
    best_attempt: str | None = None
    last_score: float | None = None
    last_title: str = ""
    role: str = ""
    focus: str = ""
    """The lane it has claimed; empty when it has claimed none."""
    operator: str = ""
    """Of the open directive; empty between two."""
    base: str = ""
    """The attempt that the open directive expands."""
    active: bool = True
    """Whether it takes part: neither retired nor ended nor given up after crashes."""
    state: str = ""
    activity: str = ""
    state_s: float = 0.0
    """How long it has been in this state."""
    busy: Busy = ""
    busy_s: float = 0.0
    busy_limit_s: float | None = None
    """How long what it waits for may take by its own limit; None: without a limit."""
    idle_s: float = 0.0
    """Since the last model or tool event."""
    silent_s: float = 0.0
    """Since its last submission or verdict, or since the run was started or resumed; 0 while it
    waits for a verdict."""
    crash_ages: tuple[float, ...] = ()
    """How long ago it crashed, each time within the last day."""
    streaks: Mapping[float, int] = field(default_factory=dict[float, int])
    """For each epsilon of a rule, evaluations since the last gain that was larger."""
    recent: tuple[AttemptView, ...] = ()
    """Its newest attempts that ended, oldest first."""

    @property
    def within_limit(self) -> bool:
        """Whether it is busy with something that may take as long as it did."""
        if not self.busy:
            return False
        limit = self.busy_limit_s
        return limit is None or self.busy_s <= limit * MARGIN + MARGIN_S

    @property
    def stalled_s(self) -> float:
        """For how long nothing has happened that should have; 0 when it is busy or not active."""
        return 0.0 if not self.active or self.within_limit else self.idle_s

    def since(self, epsilon: float) -> int:
        """Evaluations since the last gain larger than `epsilon` (relative)."""
        return self.streaks.get(epsilon, self.since_improvement)


@dataclass(frozen=True, slots=True)
class TeamView:
    """What a rule sees of the team. The seed is not counted: nobody made it."""

    evaluations: int = 0
    best_score: float | None = None
    best_attempt: str | None = None
    best_agent: str | None = None
    """Whose attempt the best one is; `seed` while nobody has beaten the seed."""
    agents: Sequence[AgentView] = ()
    since_improvement: int = 0
    minimize: bool = False
    budget_used: float = 0.0
    """The largest used share of any budget, from 0 to 1."""
    limits: str = ""
    """The budgets in force; another text once they are changed."""
    evaluations_left: int | None = None
    streaks: Mapping[float, int] = field(default_factory=dict[float, int])
    recent: tuple[AttemptView, ...] = ()
    """The newest attempts of all agents that ended, oldest first."""
    alike: Alike = equal_trees
    count: int | None = None
    """How many agents take part, where that is known without looking at each."""

    @property
    def active(self) -> tuple[AgentView, ...]:
        """The agents that take part."""
        return tuple(agent for agent in self.agents if agent.active)

    @property
    def size(self) -> int:
        """How many agents take part."""
        return len(self.active) if self.count is None else self.count

    @property
    def silent_s(self) -> float:
        """Since anybody's last submission or verdict."""
        return min((agent.silent_s for agent in self.active), default=0.0)

    @property
    def stalled_s(self) -> float:
        """For how long all agents have stalled; 0 while one of them works."""
        return min((agent.stalled_s for agent in self.active), default=0.0)

    @property
    def crash_ages(self) -> tuple[float, ...]:
        """How long ago any agent crashed."""
        return tuple(age for agent in self.agents for age in agent.crash_ages)

    def since(self, epsilon: float) -> int:
        """Evaluations since the team's last gain larger than `epsilon` (relative)."""
        return self.streaks.get(epsilon, self.since_improvement)

    def better(self, left: float, right: float) -> bool:
        """Whether a score is strictly better than another."""
        return left < right if self.minimize else left > right

    def ranked(self) -> list[AgentView]:
        """Active agents, the best personal best first; without a score last."""
        sign = 1.0 if self.minimize else -1.0
        return sorted(
            self.active,
            key=lambda agent: (
                agent.best_score is None,
                0.0 if agent.best_score is None else sign * agent.best_score,
                agent.evaluations if agent.best_score is None else 0,
            ),
        )

    def failed_lines(self, epsilon: float = 0.0, limit: int = 6) -> dict[str, list[AttemptView]]:
        """For each active agent, its newest attempts since the team's last gain above `epsilon`."""
        left, since = self.since(epsilon), list[AttemptView]()
        for attempt in reversed(self.recent):
            left -= attempt.status != "duplicate"
            if left < 0:
                break
            since.insert(0, attempt)
        lines: dict[str, list[AttemptView]] = {}
        for agent in self.active:
            own = [attempt for attempt in since if attempt.agent == agent.agent]
            if own:
                lines[agent.agent] = own[-limit:]
        return lines


@dataclass(frozen=True, slots=True)
class Intervention:
    """A message for an agent's next turn, and why the rule fired."""

    rule: str
    """The rule's name; `user` for what a person said (`harness tell`)."""
    agent: str
    reason: str
    text: str
    action: Action = "prompt"
    urgent: bool = False
    """Whether a running tool is cut short for it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A rule's memory of its last firing, for one agent or for the team."""

    evaluations: int
    """The subject's count at that time, or when the rule came into force."""
    at: float | None = None
    """Seconds since the epoch; None: it has not fired yet."""
    limits: str = ""
    """The budgets in force then."""
    fired: int = 0
    """How often it has fired."""


Marks = Mapping[tuple[str, str], Mark]
"""By rule and subject: an agent, or the empty text for the team."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule fired: for whom, why, and what follows."""

    rule: HeartbeatRule
    subject: str
    """The agent it looked at; empty: the team."""
    key: str
    """Its name within the run, such as `dream-2`: no two firings have the same."""
    reason: str
    targets: tuple[str, ...]
    """The agents its action is about; of `merge` the weaker one and the one that stays."""
    interventions: tuple[Intervention, ...]
    mark: Mark
    """What is to be remembered of it."""
