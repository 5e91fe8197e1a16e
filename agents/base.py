"""What an agent promises, and what the run hands to it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.agents.config import AgentConfig, ModelConfig
from harness.agents.heartbeats.base import Intervention
from harness.attempt import Attempt, Direction, Verdict
from harness.ids import AgentId, AttemptId
from harness.memory.base import MemoryRecord, Recalled, RecordKind
from harness.sandbox.base import ExecResult, Sandbox
from harness.search.base import Directive
from harness.search.graph import AttemptGraph
from harness.tasks.editable import Editable

if TYPE_CHECKING:  # loads the HTTP client, which agents without a model do not need
    from harness.agents.endpoints import EndpointPool

__all__ = [
    "Agent",
    "AgentConfig",
    "AgentContext",
    "Assignment",
    "BudgetView",
    "ModelCall",
    "ModelConfig",
    "NeedsEndpoint",
    "Submitted",
    "TaskView",
    "Teammate",
    "Usage",
]


@dataclass(frozen=True, slots=True)
class Usage:
    """What model calls used. `cost_usd` is None when the price of any is unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None
    estimated: bool = False
    """The endpoint did not say: counted by the harness, rather too much than too little."""
    model: str = ""
    """Of one call: the model's name."""
    latency_s: float = field(default=0.0, compare=False)
    """Of one call: seconds from sending it to its end."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A directive with what goes with it. The workspace already holds the base attempt's tree."""

    directive: Directive
    base: Attempt
    references: tuple[Attempt, ...]
    recalled: tuple[Recalled, ...]


@dataclass(frozen=True, slots=True)
class TaskView:
    """What an agent may know of the task."""

    name: str
    description: str
    direction: Direction
    baseline: float | None
    best_known: float | None
    kind: str
    """Of its evaluator: `answer`, `serve`, `repository`, `one_phase` or `command`."""
    produce: tuple[str, ...]
    """The command that runs (`repository`: builds) a submission; empty where there is none."""
    outputs: tuple[str, ...]
    """Files that `produce` must write; empty when it is started to be called."""
    timeout_s: float
    submission: tuple[str, ...]
    """Patterns of the files that are submitted."""
    hosts: tuple[str, ...] = ()
    """What agents' commands reach over the network, through the proxy."""
    knowledge: str | None = None
    """Folder with files the user gives to agents, as their commands see it; read only."""
    metric: str = ""
    """Of the kind `command`: where the score is found, in words."""
    editable: Editable | None = None
    """What of the seed may be changed; None: everything that is submitted."""
    sample: tuple[str, ...] = ()
    """`produce` on a small part of the data, which is a first stage; empty where there is none."""

    @property
    def trial(self) -> tuple[str, ...]:
        """The command that tells soonest whether a submission runs."""
        return self.sample or self.produce


@dataclass(frozen=True, slots=True)
class BudgetView:
    """What is left, for the agent's prompt. None: no such limit."""

    evaluations_left: int | None
    seconds_left: float | None
    tokens_left: int | None
    usd_left: float | None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a submission: the attempt and its verdict (a duplicate's is the first)."""

    attempt: Attempt
    verdict: Verdict | None
    """None while it is not judged: only of submissions that were not waited for."""
    closed: bool = False
    """After five duplicates in a row the directive is closed: ask for the next assignment."""


@dataclass(frozen=True, slots=True)
class Teammate:
    """What an agent may know of another one of its team, or of itself.

    `state` is one of those that `harness status` shows, `since` seconds since the epoch.
    """

    agent: AgentId
    role: str
    """Its posture in the team, in its own words or the configuration's; may be empty."""
    focus: str
    """The lane it has claimed; empty when it has claimed none."""
    directive: str
    """What it was asked to do: operator and base, such as `improve 17`; empty between two."""
    state: str
    activity: str
    since: float


class AgentContext(Protocol):
    """The run as an agent sees it. Everything that must survive a kill goes through here."""

    @property
    def agent(self) -> AgentId: ...
    @property
    def task(self) -> TaskView: ...
    @property
    def editable(self) -> Editable | None:
        """What of the seed may be changed; None: everything that is submitted."""
        ...

    @property
    def config(self) -> AgentConfig: ...
    @property
    def role(self) -> str:
        """The agent's posture in the team: configured, or as it rewrote it; may be empty."""
        ...

    @property
    def model(self) -> ModelConfig:
        """The model in force: of the open directive, or as an intervention changed it."""
        ...

    @property
    def endpoints(self) -> "EndpointPool":
        """The clients for models; shared by the run's agents, so that limits hold for all."""
        ...

    @property
    def prompts(self) -> Sequence[Path]:
        """Folders whose prompt templates stand in for the shipped ones; the first wins."""
        ...

    @property
    def graph(self) -> AttemptGraph:
        """All attempts so far; read only."""
        ...

    @property
    def sandbox(self) -> Sandbox:
        """The agent's own sandbox; its working directory is the workspace."""
        ...

    @property
    def checkpoints(self) -> Path:
        """The SQLite file for the agents' checkpoints; the run's agents share it by thread id."""
        ...

    @property
    def current(self) -> Assignment | None:
        """The open assignment after a resume; None when a new one must be asked for."""
        ...

    async def assignment(self) -> Assignment | None:
        """Close the open directive and get the next one; None when the run is over."""
        ...

    async def submit(
        self,
        title: str,
        *,
        key: str,
        detail: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> Submitted:
        """Record the workspace's tree as an attempt and, with `wait`, wait for its verdict.

        `key` identifies the call: repeated after a crash it returns the first call's attempt. A
        tree already scored returns its verdict at once and costs nothing.

        Raises:
            SubmissionRefusedError: The tree cannot be recorded; tell the model and go on.
            BudgetExhaustedError: No evaluation is left; the run is ending.
        """
        ...

    async def results(self, *, wait: bool = False) -> Sequence[Submitted]:
        """Own submissions that were not waited for, oldest first; each verdict is given once.

        With `wait`, returns when at least one of them is judged, or none is left to wait for.
        """
        ...

    async def try_out(self, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        """Run a command on the workspace's tree where candidates run, unscored.

        A fresh sandbox like an evaluation's, with the same limits and a slot of its own in the
        queue; it holds what would be submitted and nothing else, and nothing it writes is kept.

        Raises:
            SubmissionRefusedError: The tree cannot be recorded; tell the model and go on.
            SandboxUnavailableError: The sandbox, not the command, failed.
        """
        ...

    async def checkout(self, attempt: AttemptId) -> None:
        """Put the workspace on an attempt's tree; it becomes a reference of what is submitted.

        Raises:
            KeyError: No such attempt.
        """
        ...

    async def changes(self) -> str:
        """Unified diff from the directive's base to the workspace as it is now.

        Raises:
            SubmissionRefusedError: The tree cannot be recorded; says why.
        """
        ...

    async def read_attempt(self, attempt: AttemptId) -> Mapping[str, bytes]:
        """The files of an attempt's tree by path.

        Raises:
            KeyError: No such attempt.
        """
        ...

    async def diff(self, base: AttemptId, attempt: AttemptId) -> str:
        """Unified diff between two attempts' trees."""
        ...

    async def recall(
        self,
        text: str,
        *,
        purpose: str = "search",
        limit: int = 5,
        kinds: Sequence[RecordKind] = (),
    ) -> list[Recalled]:
        """Ask the memory; logged. `kinds`: only records of these; all by default."""
        ...

    async def note(self, title: str, text: str, *, key: str) -> str:
        """Write a note to the memory; returns its id. Repeated with the same `key`: no effect."""
        ...

    async def share_skill(
        self, title: str, text: str, files: Mapping[str, str], *, key: str, check: str = ""
    ) -> str:
        """Write reusable files with their description to the memory; returns the record's id.

        `check` is a shell command that exits 0 in a folder with the files when they work.
        Repeated with the same `key`: no effect.
        """
        ...

    async def record(self, record: str) -> MemoryRecord:
        """A memory record by its id or an unambiguous beginning of it.

        Raises:
            KeyError: No such record, or several.
        """
        ...

    def team(self) -> Sequence[Teammate]:
        """All agents of the team, this one included."""
        ...

    def claim(self, *, focus: str | None = None, role: str | None = None) -> None:
        """Tell the team what this agent concentrates on, or what its role is now; None: as it was.

        A focus lasts until another one is claimed.
        """
        ...

    def interventions(self) -> Sequence[Intervention]:
        """Heartbeat and user messages that wait for this agent; taken once, journalled."""
        ...

    async def urgent(self) -> None:
        """Returns as soon as an urgent intervention waits: a running tool should be cut short."""
        ...

    def budget(self) -> BudgetView:
        """What is left."""
        ...

    def rng(self) -> Random:
        """Random numbers of the open directive: the same after a resume."""
        ...

    def model_call(self, worst_case: Usage) -> "AbstractAsyncContextManager[ModelCall]":
        """Reserve the worst case of a model call before it is sent; settle inside the block.

        Raises:
            BudgetExhaustedError: The worst case does not fit the budget.
        """
        ...

    def say(self, activity: str) -> None:
        """What the agent does now, in a few words: for the live display and `status`."""
        ...

    def log(self, turn: Mapping[str, Any]) -> None:
        """Append plain JSON to the agent's transcript."""
        ...


class ModelCall(Protocol):
    """A reserved model call."""

    def settle(self, usage: Usage) -> None:
        """Replace the reservation by what was used. Without it, leaving the block frees it."""
        ...


class Agent(Protocol):
    """A long-lived worker.

    **State**: what must survive a kill is in the run's store or in `context.checkpoints`; `run` is
    called again after a resume and goes on from there. **End**: returns when `assignment()` gives
    None. **Errors**: anything raised other than `BudgetExhaustedError` is a crash of the agent; the
    run says so and goes on with the others.
    """

    async def run(self, context: AgentContext) -> None:
        """Work until the run is over."""
        ...


@runtime_checkable
class NeedsEndpoint(Protocol):
    """An agent that needs something beyond this machine, and can tell whether it is there."""

    async def check(self) -> None:
        """Asked once before a run spends anything.

        Raises:
            ModelUnavailableError: Nothing answers.
            ModelRefusedError: The key is refused.
        """
        ...
