"""What the pieces of a live run share."""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import ParamSpec, TypeVar

from harness.agents.base import Teammate
from harness.agents.endpoints import EndpointPool
from harness.agents.heartbeats.base import Intervention
from harness.attempt import Attempt
from harness.clock import Clock
from harness.evaluators.environments import Environment
from harness.events import EventKind
from harness.ids import AgentId, AttemptId, CommitHash
from harness.run.budget import Budget
from harness.run.config import RunConfig
from harness.run.folder import RunFolder
from harness.run.models import ModelChooser
from harness.run.novelty import Novelty
from harness.run.pauses import Pauses
from harness.run.roster import Roster
from harness.run.standings import Standings
from harness.run.store import Store
from harness.sandbox.base import Capabilities, SandboxProvider
from harness.sandbox.repository import Repository
from harness.sandbox.watch import ProviderWatch
from harness.search.base import Directive, SearchPolicy
from harness.search.graph import AttemptGraph
from harness.tasks.base import Task

DUPLICATES_PER_AGENT = 25
"""So many duplicates in a row for each agent end the run: the proposers are exhausted."""
FRUITLESS_PER_AGENT = 160
"""As many directives in a row for each agent without an evaluation do, too: a model that only talks
uses up no evaluations. More than those after which the `offline` agent gives up by itself."""

P = ParamSpec("P")
T = TypeVar("T")


class Ending:
    """Whether and why the run is coming to its end; the first reason stays."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.error: BaseException | None = None
        self._event = asyncio.Event()

    def request(self, reason: str, error: BaseException | None = None) -> None:
        """Start no directive and no evaluation from now on."""
        if self.reason is None:
            self.reason = reason
            self.error = error
            self._event.set()

    def __bool__(self) -> bool:
        return self.reason is not None

    async def wait(self) -> None:
        """Until a reason is given."""
        await self._event.wait()


class Timings:
    """Wall seconds of the harness's own work by phase, for the report and the benchmarks."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    @contextmanager
    def phase(self, name: str) -> Generator[None]:
        """Add the block's duration to `name`."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start
            self.counts[name] = self.counts.get(name, 0) + 1


@dataclass(slots=True)
class AgentState:
    """What an agent is doing; times in seconds since the epoch.

    `state`: `starting`, `working`, `thinking` (a model is asked), `running` (a command),
    `evaluating` (a verdict is waited for), `paused`, `restarting`, `crashed`, `retired`, `ended`.
    `since` is when state or activity last changed, which is also the last sign of life. `limit_s`
    is how long what it waits for may take by its own limit, in seconds; None: there is none.
    """

    state: str
    activity: str
    since: float
    limit_s: float | None = None


@dataclass(slots=True)
class Core:
    """The services of one run. Composed by `harness.run.prepare`."""

    folder: RunFolder
    config: RunConfig
    task: Task
    clock: Clock
    store: Store
    repository: Repository
    provider: SandboxProvider
    watch: ProviderWatch
    capabilities: Capabilities
    policy: SearchPolicy
    graph: AttemptGraph
    budget: Budget
    standings: Standings
    roster: Roster
    models: ModelChooser
    pauses: Pauses
    endpoints: EndpointPool
    executor: Executor
    novelty: Novelty
    environment: Environment
    """What agents' sandboxes run with."""
    ending: Ending = field(default_factory=Ending)
    timings: Timings = field(default_factory=Timings)
    directives: int = 0
    """Directives given so far; one that a kill kept from being opened is given again."""
    duplicates: int = 0
    """Duplicates since the last new tree, all agents together."""
    fruitless: int = 0
    """Directives since the last evaluation began."""
    agents: dict[AgentId, AgentState] = field(default_factory=dict[AgentId, AgentState])
    directive_of: dict[AgentId, Directive] = field(default_factory=dict[AgentId, Directive])
    """The open directive of each agent."""
    avoiding: dict[AgentId, AttemptId] = field(default_factory=dict[AgentId, AttemptId])
    """Whose branch an agent's next directive must leave: a forced pivot."""
    crashes: dict[AgentId, list[float]] = field(default_factory=dict[AgentId, list[float]])
    """When each agent crashed since the run was started or resumed, in seconds since the epoch."""
    urgent: dict[AgentId, asyncio.Event] = field(default_factory=dict[AgentId, asyncio.Event])
    """Set while an urgent intervention waits for the agent."""
    listeners: list[Callable[[Attempt], None]] = field(
        default_factory=list[Callable[[Attempt], None]]
    )

    def set_ref(self, name: str, commit: CommitHash) -> None:
        """Best effort: refs are for people, and a resume sets them again."""
        try:
            self.repository.set_ref(name, commit)
        except OSError as error:
            self.store.event(EventKind.WARNING, text=f"{name} is not set: {error}")

    def intervene(self, intervention: Intervention) -> None:
        """Queue an intervention for its agent; an urgent one cuts its tool short."""
        agent = AgentId(intervention.agent)
        evaluations = self.standings.agent(agent).evaluations
        self.store.interventions.queue(intervention, evaluations=evaluations)
        if intervention.urgent:
            self.urgency(agent).set()

    def urgency(self, agent: AgentId) -> asyncio.Event:
        """The event that is set while something urgent waits for the agent."""
        return self.urgent.setdefault(agent, asyncio.Event())

    def repeated(self) -> None:
        """A submission was nothing new; so many in a row mean that nothing new will come."""
        self.duplicates += 1
        if self.duplicates >= DUPLICATES_PER_AGENT * len(self.roster.active()):
            self.ending.request("exhausted")

    def next_directive(self) -> int:
        """Number of the next directive, from 1."""
        self.directives += 1
        self.fruitless += 1
        if self.fruitless > FRUITLESS_PER_AGENT * len(self.roster.active()):
            self.ending.request("exhausted")
        return self.directives

    async def in_pool(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in the run's own pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, partial(work, *args, **kwargs))

    def say(self, agent: AgentId, state: str, activity: str) -> None:
        """Note what an agent does now; written to the store by the ticker."""
        self.agents[agent] = AgentState(state, activity, self.clock.now())

    async def hold(self, agent: AgentId) -> None:
        """Where an agent stands still while it, or the whole run, is paused; the end frees it."""
        if (pause := self.pauses.of(agent)) is None or self.ending:
            return
        before = self.agents.get(agent)
        self.say(agent, "paused", pause.reason)
        waits = [
            asyncio.create_task(self.pauses.wait(agent)),
            asyncio.create_task(self.ending.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        self.say(agent, "working", before.activity if before is not None else "")

    def mark(self, agent: AgentId, state: str, limit_s: float | None = None) -> None:
        """The agent's state changed within the same activity."""
        known = self.agents.get(agent)
        self.say(agent, state, known.activity if known is not None else "")
        self.agents[agent].limit_s = limit_s

    def teammates(self) -> list[Teammate]:
        """The team as its agents may see it."""
        team: list[Teammate] = []
        for member in self.roster.active():
            state = self.agents.get(member.agent, AgentState("starting", "", self.clock.now()))
            directive = self.directive_of.get(member.agent)
            task = f"{directive.operator} {directive.base}" if directive is not None else ""
            team.append(
                Teammate(
                    member.agent,
                    member.role,
                    member.focus,
                    task,
                    state.state,
                    state.activity,
                    state.since,
                )
            )
        return team
