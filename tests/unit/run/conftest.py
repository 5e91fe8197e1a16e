"""A run without agents: its store, its repository and its pulse, for tests of what they do."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.agents.endpoints import EndpointPool
from harness.agents.heartbeats.base import Intervention
from harness.agents.heartbeats.config import HeartbeatRule
from harness.attempt import Attempt, Operator, Status, Verdict
from harness.evaluators.environments import Environment
from harness.events import EventKind
from harness.ids import SEED_AGENT, SEED_ATTEMPT, AgentId, AttemptId
from harness.run.attempts import Candidate
from harness.run.compose import rebuilt
from harness.run.config import RunConfig, save_config
from harness.run.folder import RunFolder
from harness.run.novelty import Novelty
from harness.run.prepare import create_folder
from harness.run.pulse import Pulse
from harness.run.store import Store
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.sandbox.repository import Repository, TreeFile
from harness.sandbox.watch import ProviderWatch
from harness.tasks.loader import load_task


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@dataclass
class Recorder:
    """A lifecycle that says yes to everything and writes it down."""

    done: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    joined: int = 100

    def _join(self, *what: Any) -> AgentId:
        self.done.append(what)
        self.joined += 1
        return AgentId(f"agent-{self.joined}")

    def pause(self, agent: AgentId, reason: str, seconds: float) -> None:
        self.done.append(("pause", agent, seconds))

    def retire(self, agent: AgentId, reason: str) -> bool:
        self.done.append(("retire", agent))
        return True

    def spawn(self, reason: str, role: str = "") -> AgentId | None:
        return self._join("spawn", role)

    async def fork(self, source: AgentId, reason: str) -> AgentId | None:
        await asyncio.sleep(0)
        return self._join("fork", source)

    def merge(self, agent: AgentId, into: AgentId, reason: str) -> bool:
        self.done.append(("merge", agent, into))
        return True

    def retune(
        self, agent: AgentId, model: str | None, temperature: float | None, reason: str
    ) -> None:
        self.done.append(("retune", agent, model, temperature))

    def pivot(self, agent: AgentId, branch_of: AttemptId, /) -> None:
        self.done.append(("pivot", agent, branch_of))


class Bench:
    """A run whose attempts are judged by hand. `reopen` is what a kill and a resume come to."""

    def __init__(
        self, shared: "MakeBench", rules: Sequence[Any], agents: int, evaluations: int
    ) -> None:
        self.closed = False
        self.clock = Hands()
        self.task = shared.task
        self.executor = shared.executor
        self.provider = shared.provider
        self.capabilities = shared.capabilities
        config = RunConfig.model_validate(
            {
                "agents": agents,
                "runs_dir": str(shared.folder),
                "budget": {"evaluations": evaluations},
                "heartbeats": [HeartbeatRule.model_validate(rule) for rule in rules],
            }
        )
        self.folder: RunFolder = create_folder(self.task, config, self.clock)
        self.repository = Repository.open(self.folder.repository)
        self._open(config)
        seed = self.submit(SEED_AGENT, {})
        self.judge(seed, 1.0)

    def _open(self, config: RunConfig) -> None:
        store = Store.open(self.folder.path, self.clock)
        self.core = rebuilt(self.folder, self.task, config, self.clock, store)(
            endpoints=EndpointPool(),
            repository=self.repository,
            provider=self.provider,
            watch=ProviderWatch(self.provider),
            capabilities=self.capabilities,
            executor=self.executor,
            novelty=Novelty(config.search.novelty, config.memory, self.repository),
            environment=Environment(),
        )
        for member in self.core.roster.active():
            self.core.say(member.agent, "working", "")
        self.pulse = Pulse(self.core, config.heartbeats or ())

    def reopen(self, rules: Sequence[Any] | None = None) -> None:
        """The process dies here, and the run is resumed, perhaps with other rules."""
        self.core.store.close()
        config = self.core.config
        if rules is not None:
            changed = [HeartbeatRule.model_validate(rule) for rule in rules]
            config = config.model_copy(update={"heartbeats": changed})
            save_config(config, self.folder.config)
        self._open(config)

    def submit(
        self,
        agent: str,
        files: Mapping[str, bytes] | None = None,
        *,
        base: str = SEED_ATTEMPT,
        operator: Operator = Operator.IMPROVE,
    ) -> Attempt:
        """A queued attempt with these files (by default with some of its own)."""
        core = self.core
        number = len(core.graph)
        content = {"x.py": f"x = {number}\n".encode()} if files is None else files
        tree = self.repository.write_tree({path: TreeFile(data) for path, data in content.items()})
        commit = self.repository.commit(tree, [], "t", agent, self.clock.now())
        attempt = core.store.attempts.submit(
            Candidate(
                commit,
                tree,
                AgentId(agent),
                operator,
                (AttemptId(base),) if number else (),
                (),
                f"title {number}",
                None,
                {},
            ),
            key=None,
        )
        core.graph.put(attempt)
        return attempt

    def judge(self, attempt: Attempt, score: float | None) -> Attempt:
        """Record its verdict: what a kill cannot undo."""
        verdict = Verdict(Status.FAILED) if score is None else Verdict(Status.SCORED, score)
        judged = self.core.store.attempts.verdict(attempt.id, verdict)
        self.core.graph.put(judged)
        self.core.standings.observe(judged)
        self.core.budget.evaluations += 1
        return judged

    def try_one(self, agent: str, score: float | None, **keys: Any) -> Attempt:
        """Submit, judge, and let the pulse look."""
        judged = self.judge(self.submit(agent, **keys), score)
        self.pulse.after(judged)
        return judged

    def tick(self, seconds: float = 1.0) -> None:
        """Time passes."""
        self.clock.time += seconds
        self.pulse.tick(self.clock.now())

    def take(self, agent: str) -> list[Intervention]:
        """What waits for an agent."""
        return self.core.store.interventions.take(AgentId(agent))

    def fired(self) -> list[tuple[str, str, int]]:
        """Rule, subject and count of every firing, in order."""
        return [
            (event.data["rule"], event.agent or "", event.data["evaluations"])
            for event in self.events(EventKind.INTERVENTION)
            if "targets" in event.data
        ]

    def events(self, kind: EventKind) -> list[Any]:
        """The journal's entries of a kind."""
        from harness.run.views import read_run

        return [event for event in read_run(self.folder, events=True).events if event.kind is kind]

    def close(self) -> None:
        """The run ends; may be called twice."""
        if not self.closed:
            self.closed = True
            self.core.store.close()
            self.repository.close()


class MakeBench:
    """Makes runs that are closed with the test."""

    def __init__(self, folder: Path, executor: Any) -> None:
        self.folder = folder
        self.executor = executor
        self.task = load_task("circle_packing")
        self.provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        self.capabilities = asyncio.run(self.provider.describe())
        self._made: list[Bench] = []

    def __call__(self, *rules: Any, agents: int = 4, evaluations: int = 1000) -> Bench:
        bench = Bench(self, rules, agents, evaluations)
        self._made.append(bench)
        return bench

    def close(self) -> None:
        for bench in self._made:
            bench.close()


@pytest.fixture(scope="module")
def make_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBench]:
    """A run without agents; the clock is moved by hand."""
    with ThreadPoolExecutor(2) as executor:
        maker = MakeBench(tmp_path_factory.mktemp("runs"), executor)
        yield maker
        maker.close()


@pytest.fixture
def recorder() -> Recorder:
    """Performs what rules ask of the run by writing it down."""
    return Recorder()
