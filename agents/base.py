"""What an agent promises, and what the run hands to it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from harness.agents.heartbeats.base import Intervention
from harness.attempt import Attempt, Direction, Verdict
from harness.ids import AgentId, AttemptId
from harness.memory.base import Recalled
from harness.sandbox.base import Sandbox
from harness.search.base import Directive
from harness.search.graph import AttemptGraph


class ModelConfig(BaseModel):
    """The model endpoint of the `llm` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    """Model name as the endpoint knows it."""
    base_url: str | None = None
    """OpenAI-compatible endpoint; by default `OPENAI_BASE_URL`, then OpenAI's own."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature; None leaves it to the endpoint."""
    max_output_tokens: int = Field(default=8192, ge=16)
    """Tokens of one answer."""
    context_tokens: int = Field(default=128_000, ge=1024)
    """The model's context window."""
    timeout_s: float = Field(default=300.0, gt=0)
    """Seconds to wait for one answer."""
    retries: int = Field(default=6, ge=0)
    """Further tries after 429, 5xx and connection errors."""
    price_input: float | None = Field(default=None, ge=0)
    """USD per million prompt tokens; overrides the price table."""
    price_output: float | None = Field(default=None, ge=0)
    """USD per million completion tokens; overrides the price table."""


class AgentConfig(BaseModel):
    """Settings of every agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "auto"
    """`offline`, `llm`, `auto` (llm when a model is named), or `package.module:Class`."""
    model: ModelConfig = Field(default_factory=ModelConfig)
    max_turns: int = Field(default=40, ge=1)
    """Model calls per directive."""
    command_timeout_s: float = Field(default=120.0, gt=0)
    """Wall-clock limit of one command of the agent, in seconds."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one model call used. `cost_usd` is None when the price is unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None


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
    produce: tuple[str, ...]
    outputs: tuple[str, ...]
    timeout_s: float
    submission: tuple[str, ...]
    """Patterns of the files that are submitted."""
    knowledge: str | None = None
    """Folder with files the user gives to agents, as their commands see it; read only."""


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
    verdict: Verdict
    closed: bool = False
    """After five duplicates in a row the directive is closed: ask for the next assignment."""


class AgentContext(Protocol):
    """The run as an agent sees it. Everything that must survive a kill goes through here."""

    @property
    def agent(self) -> AgentId: ...
    @property
    def task(self) -> TaskView: ...
    @property
    def config(self) -> AgentConfig: ...
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
        self, title: str, *, key: str, detail: Mapping[str, Any] | None = None
    ) -> Submitted:
        """Record the workspace's tree as an attempt and wait for its verdict.

        `key` identifies the call: repeated after a crash it returns the first call's attempt. A
        tree already scored returns its verdict at once and costs nothing.

        Raises:
            SubmissionRefusedError: The tree cannot be recorded; tell the model and go on.
            BudgetExhaustedError: No evaluation is left; the run is ending.
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

    async def recall(self, text: str, *, purpose: str = "search", limit: int = 5) -> list[Recalled]:
        """Ask the memory; logged."""
        ...

    async def note(self, title: str, text: str, *, key: str) -> str:
        """Write a note to the memory; returns its id. Repeated with the same `key`: no effect."""
        ...

    def interventions(self) -> Sequence[Intervention]:
        """Heartbeat messages that wait for this agent; taken once, journalled."""
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
