"""What a memory promises.

A backend passes `harness.testing.memory.MemoryContract`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from harness.ids import RecordId

Scope = Literal["run", "task", "global"]


class RecordKind(StrEnum):
    """What a record is."""

    ATTEMPT = "attempt"
    """What was tried and what came of it, failures included."""
    NOTE = "note"
    """An agent's own words."""
    INSIGHT = "insight"
    """Distilled from several attempts."""
    SKILL = "skill"
    KNOWLEDGE = "knowledge"
    """Given by the user."""


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """One record with its provenance. `id` is made by the writer, so that a write can be repeated.

    `outcome` is what became of an attempt: `improved`, `worse`, `equal` against its parent, or the
    attempt's status when it has no score; empty for other kinds. `audience` is who may recall it:
    its own run, runs of its task, or all.
    """

    id: RecordId
    kind: RecordKind
    title: str
    text: str
    task: str
    run: str
    agent: str
    created_at: float
    attempt: str | None = None
    score: float | None = None
    outcome: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    audience: Scope = "task"


@dataclass(frozen=True, slots=True)
class RecallQuery:
    """What is asked of the memory, by whom, and for which task and run (the scope filters)."""

    text: str
    purpose: str
    """An operator's name, or `search` when an agent or a person asks."""
    task: str
    run: str
    agent: str
    limit: int = 5
    kinds: Sequence[RecordKind] = ()
    outcomes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Recalled:
    """A record that was found: `rank` from 1, `score` the fused relevance (higher is better)."""

    record: MemoryRecord
    rank: int
    score: float


LogOp = Literal["write", "recall", "cite", "credit", "forget", "restore"]


@dataclass(frozen=True, slots=True)
class ShownRecord:
    """A record in a log entry. `text` keeps what was shown, also when the shared memory is gone."""

    id: RecordId
    rank: int
    score: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the memory's log. `attempt` is the attempt that a recall served, once known.

    `detail` of a recall has its purpose, the weights in force and its candidates, shown or not.
    """

    at: float
    op: LogOp
    run: str
    agent: str
    query: str
    records: tuple[ShownRecord, ...]
    attempt: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


class MemoryConfig(BaseModel):
    """Settings of the shared memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = None
    """Folder of the memory; by default one per user, shared by all runs."""
    url: str | None = None
    """`http://HOST:PORT` of `harness memory serve` on one of several machines; runs sync with it
    when they begin and end."""
    scope: Scope = "task"
    """What a run recalls: its own records, those for its task, or all."""
    write: Scope = "task"
    """Who may recall what a run writes: itself, runs of the same task, or all."""
    embedder: str = "hashing"
    """`hashing`, `minilm` when its file is on disk, or `openai:MODEL` for a compatible endpoint."""
    dimensions: int = Field(default=384, ge=16, le=8192)
    """Length of the hashing embedder's vectors."""
    limit: int = Field(default=5, ge=0, le=100)
    """Records shown with a directive."""
    tune: bool = True
    """Let recall adjust its weights by what came of earlier recalls; bounded and logged."""
    distil: bool = True
    """Sum up a task's attempts as insights when a run ends."""
    distil_by_model: bool = True
    """Ask the run's model for insights as well, where it has one: one call when a run ends."""
    credit: bool = True
    """Rank records by what came of showing them; false to find out what this is worth."""


class Memory(Protocol):
    """Persistent records shared by agents, runs and processes.

    **Durability**: `write` returns once the record is on disk; nothing acknowledged is lost by
    SIGKILL. **Idempotence**: writing an id again replaces nothing and logs nothing.
    **Processes**: several may read and write one memory at once. **Latency**: neither `write` nor
    `recall` waits for the dense index. Every write and recall is logged.
    """

    async def write(self, record: MemoryRecord) -> None:
        """Add a record (no effect if its id exists)."""
        ...

    async def recall(self, query: RecallQuery) -> list[Recalled]:
        """What bears on the query, best first; nothing rather than something unrelated."""
        ...

    async def credit(
        self, run: str, agent: str, attempt: str, outcome: str, records: Sequence[RecordId]
    ) -> None:
        """Log that `records` were shown before `attempt` and what came of it; counts their use."""
        ...

    async def cite(
        self, run: str, agent: str, records: Sequence[RecordId], *, attempt: str | None = None
    ) -> None:
        """Log that an agent named `records` as what it built on."""
        ...

    async def consolidate(self, task: str) -> Mapping[str, int]:
        """Turn a task's attempts into insights and retire what is said twice or contradicted."""
        ...

    async def retire(self, record: RecordId, why: str) -> None:
        """Recall a record no longer; it stays and `restore` brings it back."""
        ...

    async def restore(self, record: RecordId) -> None:
        """Recall a retired record again."""
        ...

    async def get(self, record: str) -> MemoryRecord:
        """The record with this id or unambiguous prefix.

        Raises:
            KeyError: No such record, or several.
        """
        ...

    async def records(
        self,
        *,
        kind: RecordKind | None = None,
        task: str | None = None,
        run: str | None = None,
        limit: int = 100,
    ) -> list[MemoryRecord]:
        """Newest first."""
        ...

    async def log(
        self, *, run: str | None = None, attempt: str | None = None, limit: int = 1000
    ) -> list[LogEntry]:
        """The log, oldest first."""
        ...

    async def stats(self) -> Mapping[str, Any]:
        """Counts by kind and task, recalls, embedder, index state and size; plain JSON."""
        ...

    async def close(self) -> None:
        """Feed what is pending to the index, if this process owns it. May be called twice."""
        ...
