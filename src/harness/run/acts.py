"""What rules ask of the run: pauses, retirements, new agents, other models."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from harness.agents.heartbeats.base import AgentView, HeartbeatRule, Intervention, TeamView
from harness.agents.heartbeats.messages import message
from harness.events import EventKind
from harness.ids import AgentId, AttemptId
from harness.run.core import Core
from harness.run.interventions import Fired


class Lifecycle(Protocol):
    """Who can do these things. What cannot apply is journalled and does nothing else."""

    def pause(self, agent: AgentId, reason: str, seconds: float) -> None:
        """The agent stands still before its next step."""
        ...

    def retire(self, agent: AgentId, reason: str) -> bool:
        """End the agent; whether it was."""
        ...

    def spawn(self, reason: str, role: str = "") -> AgentId | None:
        """A new agent; None where the head count has no place."""
        ...

    async def fork(self, source: AgentId, reason: str) -> AgentId | None:
        """A new agent with a copy of this one's conversation; None as for `spawn`."""
        ...

    def merge(self, agent: AgentId, into: AgentId, reason: str) -> bool:
        """End the agent and tell the other what it leaves; whether it was."""
        ...

    def retune(
        self, agent: AgentId, model: str | None, temperature: float | None, reason: str
    ) -> None:
        """Another model or temperature from the next turn on; None: as it is."""
        ...

    def pivot(self, agent: AgentId, branch_of: AttemptId, /) -> None:
        """The agent's next directive leaves the branch of this attempt."""
        ...


class Acts:
    """Performs the actions of firings, each once, and writes down what came of it.

    What a kill kept from being performed, or from being written down, is performed after the
    resume: at least once.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lifecycle: Lifecycle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, lifecycle: Lifecycle, rules: Sequence[HeartbeatRule], team: TeamView) -> None:
        """Who does it from now on; what is left from before is done now."""
        self._lifecycle = lifecycle
        by_name = {rule.name: rule for rule in rules}
        for fired in self._core.store.interventions.unperformed():
            self.perform(fired, by_name.get(fired.rule), team)

    def perform(self, fired: Fired, rule: HeartbeatRule | None, team: TeamView) -> None:
        """Do what a firing asks of the run. `rule` says what a newcomer is told."""
        lifecycle = self._lifecycle
        if fired.action.do in ("prompt", "restart") or lifecycle is None:
            return
        if fired.action.do == "fork":
            self._start(self._fork(lifecycle, fired, rule, team))
            return
        if fired.action.do == "spawn":
            newcomer = lifecycle.spawn(fired.reason, fired.action.role)
            outcome = self._joined(fired, rule, team, newcomer)
        elif fired.action.do == "merge":
            weak, strong = fired.targets
            done = lifecycle.merge(weak, strong, fired.reason)
            outcome = f"{weak} merged into {strong}" if done else f"{weak} stays"
        else:
            outcome = ", ".join(self._one(lifecycle, fired, agent) for agent in fired.targets)
        self._core.store.interventions.performed(fired.id, outcome)

    def _one(self, lifecycle: Lifecycle, fired: Fired, agent: AgentId) -> str:
        action, reason = fired.action, fired.reason
        if action.do == "pause":
            lifecycle.pause(agent, reason, action.minutes * 60)
            return f"{agent} pauses for {action.minutes:g} min"
        if action.do == "retire":
            return f"{agent} retired" if lifecycle.retire(agent, reason) else f"{agent} stays"
        if action.do == "retune":
            lifecycle.retune(agent, action.model, action.temperature, reason)
            return f"{agent} retuned"
        directive = self._core.directive_of.get(agent)
        base = directive.base if directive is not None else self._core.standings.newest(agent)
        if base is None:
            return f"{agent} has no branch to leave"
        lifecycle.pivot(agent, base)
        return f"{agent} leaves the branch of attempt {base}"

    async def _fork(
        self, lifecycle: Lifecycle, fired: Fired, rule: HeartbeatRule | None, team: TeamView
    ) -> None:
        outcomes: list[str] = []
        for source in fired.targets:
            try:
                newcomer = await lifecycle.fork(source, fired.reason)
            except Exception as error:  # supervision: the run goes on with the team it has
                text = f"{source} was not forked: {type(error).__name__}: {error}"
                self._core.store.event(EventKind.WARNING, agent=source, text=text)
                outcomes.append(text)
            else:
                outcomes.append(self._joined(fired, rule, team, newcomer))
        self._core.store.interventions.performed(fired.id, ", ".join(outcomes))

    def _joined(
        self,
        fired: Fired,
        rule: HeartbeatRule | None,
        team: TeamView,
        newcomer: AgentId | None,
    ) -> str:
        if newcomer is None:
            return "nobody joined"
        if rule is not None:
            view = AgentView(newcomer, role=fired.action.role)
            text = message(rule, team, view, reason=fired.reason, key=fired.key)
            told = Intervention(rule.name, newcomer, fired.reason, text, fired.action.do)
            self._core.store.interventions.tell_newcomer(fired.id, told)
        return f"{newcomer} joined"

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
