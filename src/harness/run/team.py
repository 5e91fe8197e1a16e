"""The agents of a live run: who works, joins, stands still and leaves."""

import asyncio

from harness.agents.checkpoints import copy_thread
from harness.agents.heartbeats.base import Intervention
from harness.events import EventKind
from harness.ids import AgentId, AttemptId
from harness.run.core import Core
from harness.run.supervisor import CRASHED, Supervisor


class Team:
    """Starts and ends the agents' tasks; what heartbeats and users may do to them.

    Belongs to the event loop. A change that cannot apply is journalled as a warning and does
    nothing else.
    """

    def __init__(self, core: Core, supervisor: Supervisor) -> None:
        self._core = core
        self._supervisor = supervisor
        self._tasks: dict[AgentId, asyncio.Task[None]] = {}
        self._idle = asyncio.Event()

    @property
    def error(self) -> Exception | None:
        """The last crash of any agent."""
        return self._supervisor.error

    def start(self) -> None:
        """Start everybody who is in the roster and not retired."""
        for member in self._core.roster.active():
            self._start(member.agent)

    async def wait(self) -> None:
        """Until no agent works any more."""
        await self._idle.wait()

    def all_crashed(self) -> bool:
        """Whether every agent gave up on a crash."""
        states = [self._core.agents[m.agent].state for m in self._core.roster.active()]
        return bool(states) and all(state == CRASHED for state in states)

    async def close(self, grace_s: float) -> None:
        """Give agents time to return by themselves, then end them."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def pause(self, agent: AgentId, reason: str, seconds: float | None = None) -> None:
        """The agent stands still before its next step, for a while or until it is let go on."""
        self._core.pauses.pause(agent, reason, seconds=seconds)

    def retire(self, agent: AgentId, reason: str) -> bool:
        """End the agent; its attempts and its open evaluations stay. The last one is kept."""
        core = self._core
        if agent not in core.roster or core.roster[agent].retired_at is not None:
            return False
        if len(core.roster.active()) == 1:
            self._warn(agent, f"not retired ({reason}): it is the last one of the team")
            return False
        core.roster.retire(agent, reason)
        core.store.directives.close(agent)
        core.directive_of.pop(agent, None)
        task = self._tasks.pop(agent, None)
        if task is not None:
            task.cancel()
        core.say(agent, "retired", reason)
        self._notice_idle()
        return True

    def spawn(self, reason: str, role: str = "", group: int = 0) -> AgentId | None:
        """A new agent, where the head-count budget has a place; None where it has not."""
        return None if self._full(None, reason) else self._enter(reason, role=role, group=group)

    async def fork(self, source: AgentId, reason: str) -> AgentId | None:
        """A new agent that starts with a copy of another one's conversation."""
        core, origin = self._core, self._core.roster[source]
        if self._full(source, reason):
            return None
        member = core.roster.join(origin.group, role=origin.role, origin=source, reason=reason)
        await core.in_pool(copy_thread, core.folder.checkpoints, source, member.agent)
        self._start(member.agent)
        return member.agent

    def merge(self, agent: AgentId, into: AgentId, reason: str) -> bool:
        """One agent of two on the same lane retires; the other is told what it found."""
        core = self._core
        best = max(
            (a for a in core.graph if a.agent == agent and a.score is not None),
            key=lambda a: (a.score or 0.0) * (1 if core.task.direction == "maximize" else -1),
            default=None,
        )
        if not self.retire(agent, reason):
            return False
        found = f"Its best attempt is {best.id}." if best is not None else "It scored nothing."
        text = f"{agent} was on your lane and has left the team: {reason}. {found}"
        core.intervene(Intervention("merge", into, reason, text))
        return True

    def retune(
        self, agent: AgentId, model: str | None, temperature: float | None, reason: str
    ) -> None:
        """Another model or temperature from the agent's next turn on."""
        self._core.roster.retune(agent, model, temperature, reason)

    def pivot(self, agent: AgentId, branch_of: AttemptId) -> None:
        """The agent's next directive leaves the branch of this attempt."""
        self._core.avoiding[agent] = branch_of

    def resize(self, count: int, reason: str) -> None:
        """Make the team so large: new agents join, or those that joined last retire."""
        active = self._core.roster.active()
        for _ in range(count - len(active)):
            self._enter(reason)
        for member in reversed(active[count:]):
            self.retire(member.agent, reason)

    def _full(self, agent: AgentId | None, reason: str) -> bool:
        limit = self._core.config.headcount
        full = len(self._core.roster.active()) >= limit
        if full:
            self._warn(agent, f"no new agent ({reason}): the head count of {limit} is reached")
        return full

    def _enter(self, reason: str, *, role: str = "", group: int = 0) -> AgentId:
        member = self._core.roster.join(group, role=role, reason=reason)
        self._start(member.agent)
        return member.agent

    def _start(self, agent: AgentId) -> None:
        self._idle.clear()
        # Shown from here on: its supervisor may have to wait for a thread before it says more.
        self._core.say(agent, "starting", "")
        task = asyncio.create_task(self._supervisor.run(agent), name=agent)
        self._tasks[agent] = task
        task.add_done_callback(lambda _: self._notice_idle())

    def _notice_idle(self) -> None:
        if all(task.done() for task in self._tasks.values()):
            self._idle.set()

    def _warn(self, agent: AgentId | None, text: str) -> None:
        self._core.store.event(EventKind.WARNING, agent=agent, text=text)
