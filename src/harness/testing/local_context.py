"""The context behind `harness.testing.context`: one agent, and what happened in a journal."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any, cast

from harness.agents.base import (
    AgentConfig,
    Assignment,
    BudgetView,
    ModelCall,
    ModelConfig,
    Submitted,
    TaskView,
    Teammate,
    Usage,
)
from harness.agents.endpoints import EndpointPool
from harness.agents.heartbeats.base import HeartbeatRule, Intervention, Mark
from harness.agents.heartbeats.rules import evaluate_rules
from harness.attempt import Operator, Status, Verdict
from harness.clock import SystemClock
from harness.errors import BudgetExhaustedError
from harness.ids import SEED_AGENT, SEED_ATTEMPT, AgentId, AttemptId, TreeHash
from harness.memory.base import MemoryRecord, Recalled, RecordKind
from harness.sandbox.base import ExecResult, Mount, Sandbox, SandboxProvider, SandboxSpec
from harness.sandbox.repository import Repository, TreeFile
from harness.sandbox.workspace import Workspace
from harness.search.base import Directive, directive_rng
from harness.search.graph import AttemptGraph
from harness.testing.journal import attempt_of, directive_of, encode, views
from harness.testing.local_notes import LocalNotes
from harness.testing.number import Score

DUPLICATES_IN_A_ROW = 5


class _Call:
    """A reserved model call."""

    def __init__(self) -> None:
        self.used: Usage | None = None

    def settle(self, usage: Usage) -> None:
        self.used = usage


class LocalContext:
    """An `AgentContext` for one agent. Made by `open_context`.

    Every directive has the best attempt as its base. `transcript`, `activities` and `usage` hold
    what the agent logged, said and settled since this context was opened.
    """

    def __init__(
        self,
        folder: Path,
        *,
        provider: SandboxProvider,
        sandbox: Sandbox,
        workspace: Workspace,
        repository: Repository,
        score: Score,
        task: TaskView,
        config: AgentConfig,
        operators: Sequence[Operator],
        rules: Sequence[HeartbeatRule],
        tokens: int | None,
        agent: AgentId,
        prompts: Sequence[Path] = (),
    ) -> None:
        self.agent: AgentId = agent
        self.prompts = prompts
        self.role = ""
        self.focus = ""
        self.model: ModelConfig = config.choices[0]
        self.endpoints = EndpointPool()
        self.task = task
        self.editable = task.editable
        self.config = config
        self.sandbox = sandbox
        self.graph = AttemptGraph(task.direction)
        self.checkpoints = folder / "agents.db"
        self.transcript: list[Mapping[str, Any]] = []
        self.activities: list[str] = []
        self._reserved = 0
        self.usage: list[Usage] = []
        self.pending: list[Intervention] = []
        self.mates: list[Teammate] = []
        self._urgent = asyncio.Event()
        self._kept_back: list[str] = []
        self._folder = folder
        self._provider = provider
        self._journal = folder / "journal.jsonl"
        self._clock = SystemClock()
        self._workspace = workspace
        self._repository = repository
        self._score = score
        self._operators = operators
        self._rules = rules
        self._tokens = tokens
        self._current: Assignment | None = None
        self._directives = 0
        self._submitted: dict[str, Submitted] = {}
        self._notes = LocalNotes(task.name, agent)
        self._fired: dict[tuple[str, str], Mark] = {}
        self._duplicates = 0

    @property
    def current(self) -> Assignment | None:
        return self._current

    @property
    def notes(self) -> list[MemoryRecord]:
        """Notes in order of writing."""
        return self._notes.all()

    async def begin(self, seed: Mapping[str, bytes]) -> None:
        """Replay the journal, or start it with the seed."""
        if self._journal.exists():
            for line in self._journal.read_text(encoding="utf-8").splitlines():
                self._replay(json.loads(line))
            return
        tree = self._repository.write_tree({name: TreeFile(seed[name]) for name in seed})
        await self._workspace.load(tree)
        self._record_attempt(tree, "seed", "seed", Operator.DRAFT, None, {})

    async def assignment(self) -> Assignment | None:
        if self._directives == len(self._operators):
            self._append({"kind": "over"})
            self._current = None
            return None
        best = self.graph.best or self.graph[SEED_ATTEMPT]
        operator = self._operators[self._directives]
        references: tuple[AttemptId, ...] = ()
        if operator in (Operator.FUSE, Operator.AGGREGATE):
            references = tuple(a.id for a in self.graph if a.id != best.id)[-1:]
        reason = f"attempt {best.id} is the best so far"
        directive = Directive(self._directives + 1, operator, best.id, references, reason)
        await self._workspace.load(best.tree)
        self._append({"kind": "directive", **asdict(directive)})
        self._open(directive)
        return self._current

    async def submit(
        self,
        title: str,
        *,
        key: str,
        detail: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> Submitted:
        """Scored at once; without `wait` the verdict is kept back until `results` is called."""
        if key not in self._submitted:
            tree = await self._workspace.snapshot()
            assert self._current is not None, "submit outside a directive"
            directive = self._current.directive
            self._record_attempt(tree, key, title, directive.operator, directive, detail or {})
            self._beat()
            if not wait:
                self._kept_back.append(key)
        submitted = self._submitted[key]
        return submitted if wait else replace(submitted, verdict=None)

    async def results(self, *, wait: bool = False) -> Sequence[Submitted]:
        given, self._kept_back = self._kept_back, []
        return [self._submitted[key] for key in given]

    async def try_out(self, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        """In a sandbox of its own on a copy of what would be submitted."""
        tree = await self._workspace.snapshot()
        folder = self._folder / f"try-{uuid.uuid4().hex}"
        self._repository.checkout(tree, folder)
        mount = Mount(folder, "/work", read_only=False)
        sandbox = await self._provider.create(SandboxSpec("produce", (mount,)))
        try:
            return await sandbox.exec(argv, timeout_s=timeout_s)
        finally:
            await sandbox.close()

    async def checkout(self, attempt: AttemptId) -> None:
        await self._workspace.load(self.graph[attempt].tree)

    async def changes(self) -> str:
        tree = await self._workspace.snapshot()
        base = self._current.base if self._current else self.graph[SEED_ATTEMPT]
        return self._repository.diff(base.tree, tree)

    async def read_attempt(self, attempt: AttemptId) -> Mapping[str, bytes]:
        files = self._repository.files(self.graph[attempt].tree)
        return {path: file.data for path, file in files.items()}

    async def diff(self, base: AttemptId, attempt: AttemptId) -> str:
        return self._repository.diff(self.graph[base].tree, self.graph[attempt].tree)

    async def recall(
        self,
        text: str,
        *,
        purpose: str = "search",
        limit: int = 5,
        kinds: Sequence[RecordKind] = (),
    ) -> list[Recalled]:
        """Notes that share a word with `text`."""
        return self._notes.sharing_words(text, limit, kinds)

    async def note(self, title: str, text: str, *, key: str) -> str:
        return self._remember({"kind": "note", "key": key, "title": title, "text": text})

    async def share_skill(
        self, title: str, text: str, files: Mapping[str, str], *, key: str, check: str = ""
    ) -> str:
        return self._remember(
            {
                "kind": "skill",
                "key": key,
                "title": title,
                "text": text,
                "files": dict(files),
                "check": check,
            }
        )

    async def record(self, record: str) -> MemoryRecord:
        return self._notes.named(record)

    def team(self) -> Sequence[Teammate]:
        """This agent, and `mates`."""
        directive = self._current.directive if self._current else None
        task = f"{directive.operator} {directive.base}" if directive else ""
        doing = self.activities[-1] if self.activities else ""
        now = self._clock.now()
        own = Teammate(self.agent, self.role, self.focus, task, "working", doing, now)
        return [own, *self.mates]

    def claim(self, *, focus: str | None = None, role: str | None = None) -> None:
        self.focus = self.focus if focus is None else focus
        self.role = self.role if role is None else role

    def intervene(self, intervention: Intervention) -> None:
        """Queue an intervention for the agent."""
        self.pending.append(intervention)
        if intervention.urgent:
            self._urgent.set()

    async def urgent(self) -> None:
        await self._urgent.wait()

    def interventions(self) -> Sequence[Intervention]:
        taken, self.pending = self.pending, []
        self._urgent.clear()
        return taken

    def budget(self) -> BudgetView:
        left = None if self._tokens is None else self._tokens - self._used()
        return BudgetView(len(self._operators) - self._directives, None, left, None)

    def rng(self) -> Random:
        return directive_rng(0, self._directives)

    @asynccontextmanager
    async def model_call(self, worst_case: Usage) -> AsyncGenerator[ModelCall]:
        wanted = worst_case.prompt_tokens + worst_case.completion_tokens
        taken = self._used() + self._reserved + wanted
        if self._tokens is not None and taken > self._tokens:
            raise BudgetExhaustedError(f"{wanted} tokens do not fit the budget")
        call = _Call()
        self._reserved += wanted
        try:
            yield call
        finally:
            self._reserved -= wanted
            if call.used is not None:
                self.usage.append(call.used)

    def say(self, activity: str) -> None:
        self.activities.append(activity)

    def log(self, turn: Mapping[str, Any]) -> None:
        self.transcript.append(json.loads(json.dumps(turn)))

    def _used(self) -> int:
        return sum(usage.prompt_tokens + usage.completion_tokens for usage in self.usage)

    def _remember(self, entry: Mapping[str, Any]) -> str:
        if entry["key"] not in self._notes:
            self._append(entry)
            self._replay(entry)
        return self._notes[entry["key"]].id

    def _append(self, entry: Mapping[str, Any]) -> None:
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(entry) + "\n")
            journal.flush()
            os.fsync(journal.fileno())

    def _replay(self, entry: Mapping[str, Any]) -> None:
        kind = entry["kind"]
        if kind == "attempt":
            self._add(entry)
        elif kind == "directive":
            self._open(directive_of(entry))
        elif kind in ("note", "skill"):
            self._notes.add(entry, self._clock.now())
        elif kind == "fired":
            self._fired[entry["rule"], entry["subject"]] = Mark(
                entry["evaluations"], entry["at"], entry["limits"], entry["fired"]
            )
        elif kind == "over":
            self._current = None

    def _open(self, directive: Directive) -> None:
        self._directives = directive.number
        references = tuple(self.graph[reference] for reference in directive.references)
        recalled = tuple(self._notes.newest(3))
        self._current = Assignment(directive, self.graph[directive.base], references, recalled)

    def _record_attempt(
        self,
        tree: TreeHash,
        key: str,
        title: str,
        operator: Operator,
        directive: Directive | None,
        detail: Mapping[str, Any],
    ) -> None:
        first = next((a for a in self.graph if a.tree == tree and a.duplicate_of is None), None)
        files = {path: file.data for path, file in self._repository.files(tree).items()}
        parents = [directive.base, *directive.references] if directive else []
        commits = [self.graph[parent].commit for parent in parents]
        now = self._clock.now()
        commit = self._repository.commit(tree, commits, title, self.agent, now)
        entry: dict[str, Any] = {
            "kind": "attempt",
            "key": key,
            "id": str(len(self.graph)),
            "commit": commit,
            "tree": tree,
            "agent": self.agent if directive else SEED_AGENT,
            "operator": operator.value,
            "title": title,
            "created_at": now,
            "directive": directive.number if directive else None,
            "parents": parents[:1],
            "references": parents[1:],
            "duplicate_of": first.id if first else None,
            "detail": dict(detail),
            "verdict": encode(
                self._score(files) if first is None else cast(Verdict, first.verdict)
            ),
        }
        self._append(entry)
        self._add(entry)

    def _add(self, entry: Mapping[str, Any]) -> None:
        attempt, verdict = attempt_of(entry)
        duplicate = attempt.status is Status.DUPLICATE
        self.graph.put(attempt)
        self._duplicates = self._duplicates + 1 if duplicate else 0
        closed = self._duplicates >= DUPLICATES_IN_A_ROW
        self._submitted[entry["key"]] = Submitted(attempt, verdict, closed)

    def _beat(self) -> None:
        """Let the rules look at the agent, as a run does after each verdict."""
        team = views(self.graph, self.agent)
        for firing in evaluate_rules(self._rules, team, self._fired, self._clock.now()).firings:
            mark = asdict(firing.mark)
            entry = {"kind": "fired", "rule": firing.rule.name, "subject": firing.subject, **mark}
            self._append(entry)
            self._replay(entry)
            for intervention in firing.interventions:
                self.intervene(intervention)
