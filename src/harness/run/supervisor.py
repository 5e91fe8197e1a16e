"""Keeps one agent alive: its sandbox, its workspace, its restarts."""

import asyncio
from collections import deque
from collections.abc import Callable

from harness.agents.base import Agent, AgentConfig
from harness.errors import (
    BudgetExhaustedError,
    HarnessError,
    InfrastructureError,
    ModelRefusedError,
    ModelUnavailableError,
    QuotaUsedError,
    SandboxUnavailableError,
    UserError,
)
from harness.evaluators.data import data_mounts
from harness.evaluators.submission import submission_rules
from harness.events import EventKind
from harness.ids import AgentId
from harness.run.agent_sandbox import agent_sandbox
from harness.run.chronicle import Chronicle
from harness.run.context import KNOWLEDGE, RunContext
from harness.run.core import Core
from harness.run.evaluation import Evaluations
from harness.sandbox.base import Mount, Sandbox
from harness.sandbox.workspace import Workspace

BACKOFF_S = 1.0
"""Pause before the first restart; each further one within the window takes five times as long."""
OUTAGE_PAUSE_S = 15.0
"""Pause of an agent whose model endpoint stopped answering, or that loses sandbox after sandbox."""

CRASHED = "crashed"

MakeAgent = Callable[[AgentConfig], Agent]


class Supervisor:
    """Runs agents to the end of the run. One agent's death never stops the run."""

    def __init__(
        self, core: Core, chronicle: Chronicle, evaluations: Evaluations, make_agent: MakeAgent
    ) -> None:
        self._core = core
        self._chronicle = chronicle
        self._evaluations = evaluations
        self._make_agent = make_agent
        self._held: dict[AgentId, int] = {}
        """Agents paused for their crashes, with the number of attempts of the team at that time."""
        self.error: Exception | None = None
        """The last crash: why the run failed, if it does."""

    async def run(self, agent: AgentId) -> None:
        """Until the run is over, the agent gives up, or nothing can come of it any more."""
        core = self._core
        crashes, losses = (_Crashes(core.config.team.crash_window_s) for _ in range(2))
        while not core.ending:
            before = self._submitted(agent)
            try:
                await self._life(agent)
            except QuotaUsedError as error:
                core.say(agent, "ended", str(error))
                return
            except BudgetExhaustedError as error:
                core.ending.request(error.budget)
                core.say(agent, "ended", str(error))
                return
            except Exception as error:  # supervision: whatever an agent raises, the run goes on
                if self._submitted(agent) > before:
                    crashes.pauses = 0
                if not await self._survives(agent, error, crashes, losses):
                    return
            else:
                # With budget left a clean end is followed by a new directive, unless nothing came
                # of the whole life: that agent has nothing more to give.
                if self._submitted(agent) == before:
                    break
        core.say(agent, "ended", "")

    async def _survives(
        self, agent: AgentId, error: Exception, crashes: "_Crashes", losses: "_Crashes"
    ) -> bool:
        """Deal with what an agent raised; whether it is to live again, now that it has waited."""
        core = self._core
        outage = isinstance(error, SandboxUnavailableError) or (
            isinstance(error, ModelUnavailableError) and self._answered(agent)
        )
        if outage:
            # The daemon restarts, the endpoint is down: not the agent's fault, whose work is kept.
            self._report(agent, 0, error)
            core.say(agent, "paused", str(error))
            if isinstance(error, ModelUnavailableError):
                await self._sleep(OUTAGE_PAUSE_S)
            elif not await self._was_away(str(error)):
                count = losses.add(core.clock.monotonic())
                await self._sleep(min(OUTAGE_PAUSE_S, 2.0 ** (count - 1)))
            return True
        if isinstance(error, ModelUnavailableError):
            return self._refuse(agent, unreachable(error))
        refused = isinstance(error, ModelRefusedError | UserError)
        if refused and core.budget.tokens == 0:
            return self._refuse(agent, error)
        self.error = error
        count = crashes.add(core.clock.monotonic())
        self._report(agent, count, error)
        if refused or _deliberate(error):
            # The others may be well; when all have given up, the run ends with this.
            core.say(agent, CRASHED, _first_line(error))
            return False
        await self._hold(agent, crashes, count)
        return True

    async def _was_away(self, reason: str) -> bool:
        """Whether sandboxes had an outage, which is over now; the end of the run is one too."""
        away = asyncio.create_task(self._core.watch.was_away(reason))
        ended = asyncio.create_task(self._core.ending.wait())
        try:
            await asyncio.wait([away, ended], return_when=asyncio.FIRST_COMPLETED)
            return not away.done() or away.result()
        finally:
            away.cancel()
            ended.cancel()

    def _answered(self, agent: AgentId) -> bool:
        """Whether the agent's endpoint ever worked: else its address is what is wrong."""
        model = self._core.roster.model(agent)
        return model.name is None or self._core.endpoints.answered(model)

    def _submitted(self, agent: AgentId) -> int:
        return sum(attempt.agent == agent for attempt in self._core.graph)

    async def _hold(self, agent: AgentId, crashes: "_Crashes", count: int) -> None:
        """Wait before the restart: a moment, or for long when it crashes again and again."""
        core, team = self._core, self._core.config.team
        if count < team.crashes:
            await self._sleep(BACKOFF_S * 5.0 ** (count - 1))
            return
        seconds = team.crash_pause_s * 2.0**crashes.pauses
        crashes.begin_pause()
        text = f"crashed {count} times in {team.crash_window_s:g} s: paused for {seconds:g} s"
        core.store.event(EventKind.WARNING, agent=agent, text=text)
        core.say(agent, "paused", text)
        self._held[agent] = len(core.graph)
        if self._hopeless():
            core.say(agent, CRASHED, text)
            core.ending.request("agents_failed", self.error)
        try:
            await self._sleep(seconds)
        finally:
            del self._held[agent]

    def _hopeless(self) -> bool:
        """Every agent is held for its crashes, and nothing was submitted since the first was."""
        working = [
            member.agent
            for member in self._core.roster.active()
            if self._core.agents.get(member.agent) is None
            or self._core.agents[member.agent].state not in (CRASHED, "ended")
        ]
        return all(self._held.get(agent) == len(self._core.graph) for agent in working)

    async def _sleep(self, seconds: float) -> None:
        """A pause that the end of the run cuts short."""
        try:
            async with asyncio.timeout(seconds):
                await self._core.ending.wait()
        except TimeoutError:
            return

    def _refuse(self, agent: AgentId, error: Exception) -> bool:
        """What nobody but the user can put right, before anything was achieved; always False."""
        self._core.ending.request("refused", error)
        self._core.say(agent, CRASHED, _first_line(error))
        return False

    async def _life(self, agent: AgentId) -> None:
        core = self._core
        core.say(agent, "starting", "sandbox")
        async with agent_sandbox(core, agent, self._beside()) as sandbox:
            context = RunContext(
                core,
                agent,
                sandbox,
                self._workspace(sandbox, agent),
                self._chronicle,
                self._evaluations,
            )
            await context.restore()
            await self._make_agent(context.config).run(context)

    def _beside(self) -> tuple[Mount, ...]:
        folder, data = self._core.task.knowledge, data_mounts(self._core.task)
        return data if folder is None else (Mount(folder, KNOWLEDGE), *data)

    def _workspace(self, sandbox: Sandbox, agent: AgentId) -> Workspace:
        core = self._core
        return Workspace(
            sandbox,
            core.repository,
            submission_rules(core.task),
            folder=core.folder.workspaces / agent if core.provider.shares_files else None,
            owner=core.provider.owner,
            executor=core.executor,
        )

    def _report(self, agent: AgentId, crash: int, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self._core.say(agent, "restarting", text)
        self._core.store.event(EventKind.WARNING, agent=agent, crashes=crash, text=text)
        if crash:
            self._core.crashes.setdefault(agent, []).append(self._core.clock.now())
            self._core.store.event(EventKind.CRASH, agent=agent, text=text)


class _Crashes:
    """An agent's crashes within the window (seconds), and how often it was paused for them.

    Sandboxes that it lost are counted apart.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque()
        self.pauses = 0

    def add(self, now: float) -> int:
        """One more; returns how many there are within the window."""
        self._times.append(now)
        while self._times[0] < now - self._window_s:
            self._times.popleft()
        return len(self._times)

    def begin_pause(self) -> None:
        """Start counting anew."""
        self.pauses += 1
        self._times.clear()


def unreachable(error: ModelUnavailableError) -> UserError:
    """An endpoint that never answered is the user's to correct."""
    return UserError(
        str(error),
        expected="an OpenAI-compatible endpoint that answers",
        action="check OPENAI_BASE_URL and that the server is up: harness doctor",
    )


def _deliberate(error: Exception) -> bool:
    """An agent that says it cannot go on would say so again."""
    return isinstance(error, HarnessError) and not isinstance(error, InfrastructureError)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
