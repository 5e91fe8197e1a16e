"""A small real `AgentContext` for one agent: a sandbox, a repository, a journal in a folder.

For tests of agents, third-party ones included, without a run around them:

    async with open_context(folder, provider, seed={"x.txt": b"1"}, score=score) as context:
        await MyAgent().run(context)
        assert context.graph.best is not None

What happened is in `journal.jsonl`, so a context opened again on the same folder goes on from
there, as after a kill.
"""

import json
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any, cast

from harness.agents.base import (
    AgentConfig,
    Assignment,
    BudgetView,
    ModelCall,
    Submitted,
    TaskView,
    Usage,
)
from harness.agents.heartbeats.base import HeartbeatRule, Intervention
from harness.agents.heartbeats.rules import evaluate_rules
from harness.attempt import Operator, Status, Verdict
from harness.clock import SystemClock
from harness.errors import BudgetExhaustedError
from harness.ids import SEED_AGENT, SEED_ATTEMPT, AgentId, AttemptId, RecordId, TreeHash
from harness.memory.base import MemoryRecord, Recalled, RecordKind
from harness.sandbox.base import Mount, Sandbox, SandboxProvider, SandboxSpec
from harness.sandbox.repository import Repository, TreeFile
from harness.sandbox.scan import SubmissionRules
from harness.sandbox.workspace import Workspace
from harness.search.base import Directive, directive_rng
from harness.search.graph import AttemptGraph
from harness.testing.journal import attempt_of, directive_of, encode, views

Score = Callable[[Mapping[str, bytes]], Verdict]
"""Stands in for an evaluator: the submitted files to a verdict."""

DUPLICATES_IN_A_ROW = 5

DEFAULT_TASK = TaskView(
    name="number",
    description="Make the number in `x.txt` larger.",
    direction="maximize",
    baseline=1.0,
    best_known=100.0,
    produce=("cat", "x.txt"),
    outputs=("x.txt",),
    timeout_s=10.0,
    submission=("**",),
)
_AGENT = AgentId("agent-1")


def number_score(files: Mapping[str, bytes]) -> Verdict:
    """The score of `DEFAULT_TASK`: the number in `x.txt`; invalid without one."""
    try:
        return Verdict(Status.SCORED, float(files["x.txt"]))
    except (KeyError, ValueError) as error:
        return Verdict(Status.INVALID, feedback=f"x.txt holds no number: {error}")


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
    ) -> None:
        self.agent: AgentId = agent
        self.task = task
        self.config = config
        self.sandbox = sandbox
        self.graph = AttemptGraph(task.direction)
        self.checkpoints = folder / "agents.db"
        self.transcript: list[Mapping[str, Any]] = []
        self.activities: list[str] = []
        self.usage: list[Usage] = []
        self.pending: list[Intervention] = []
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
        self._notes: dict[str, MemoryRecord] = {}
        self._fired: dict[str, int] = {}
        self._duplicates = 0

    @property
    def current(self) -> Assignment | None:
        return self._current

    @property
    def notes(self) -> list[MemoryRecord]:
        """Notes in order of writing."""
        return list(self._notes.values())

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
        self, title: str, *, key: str, detail: Mapping[str, Any] | None = None
    ) -> Submitted:
        if key in self._submitted:
            return self._submitted[key]
        tree = await self._workspace.snapshot()
        assert self._current is not None, "submit outside a directive"
        directive = self._current.directive
        self._record_attempt(tree, key, title, directive.operator, directive, detail or {})
        self._beat()
        return self._submitted[key]

    async def read_attempt(self, attempt: AttemptId) -> Mapping[str, bytes]:
        files = self._repository.files(self.graph[attempt].tree)
        return {path: file.data for path, file in files.items()}

    async def diff(self, base: AttemptId, attempt: AttemptId) -> str:
        return self._repository.diff(self.graph[base].tree, self.graph[attempt].tree)

    async def recall(self, text: str, *, purpose: str = "search", limit: int = 5) -> list[Recalled]:
        """Notes that share a word with `text`."""
        words = set(text.lower().split())
        found = [
            record
            for record in self._notes.values()
            if words & set(f"{record.title} {record.text}".lower().split())
        ]
        return [Recalled(record, rank, 1 / rank) for rank, record in enumerate(found[:limit], 1)]

    async def note(self, title: str, text: str, *, key: str) -> str:
        if key not in self._notes:
            entry = {"kind": "note", "key": key, "title": title, "text": text}
            self._append(entry)
            self._replay(entry)
        return self._notes[key].id

    def interventions(self) -> Sequence[Intervention]:
        taken, self.pending = self.pending, []
        return taken

    def budget(self) -> BudgetView:
        left = None if self._tokens is None else self._tokens - self._used()
        return BudgetView(len(self._operators) - self._directives, None, left, None)

    def rng(self) -> Random:
        return directive_rng(0, self._directives)

    @asynccontextmanager
    async def model_call(self, worst_case: Usage) -> AsyncGenerator[ModelCall]:
        wanted = worst_case.prompt_tokens + worst_case.completion_tokens
        if self._tokens is not None and self._used() + wanted > self._tokens:
            raise BudgetExhaustedError(f"{wanted} tokens do not fit the budget")
        call = _Call()
        try:
            yield call
        finally:
            if call.used is not None:
                self.usage.append(call.used)

    def say(self, activity: str) -> None:
        self.activities.append(activity)

    def log(self, turn: Mapping[str, Any]) -> None:
        self.transcript.append(json.loads(json.dumps(turn)))

    def _used(self) -> int:
        return sum(usage.prompt_tokens + usage.completion_tokens for usage in self.usage)

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
        elif kind == "note":
            record = RecordId(f"{len(self._notes):032x}")
            self._notes[entry["key"]] = MemoryRecord(
                id=record,
                kind=RecordKind.NOTE,
                title=entry["title"],
                text=entry["text"],
                task=self.task.name,
                run="local",
                agent=self.agent,
                created_at=self._clock.now(),
            )
        elif kind == "fired":
            self._fired[entry["rule"]] = entry["evaluations"]
        elif kind == "over":
            self._current = None

    def _open(self, directive: Directive) -> None:
        self._directives = directive.number
        references = tuple(self.graph[reference] for reference in directive.references)
        recalled = tuple(
            Recalled(record, rank, 1 / rank) for rank, record in enumerate(self.notes[-3:], 1)
        )
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
        view, team = views(self.graph, self.agent, self._fired)
        for intervention in evaluate_rules(self._rules, view, team):
            entry = {"kind": "fired", "rule": intervention.rule, "evaluations": view.evaluations}
            self._append(entry)
            self._replay(entry)
            self.pending.append(intervention)


@asynccontextmanager
async def open_context(
    folder: Path,
    provider: SandboxProvider,
    *,
    seed: Mapping[str, bytes] | None = None,
    score: Score = number_score,
    task: TaskView = DEFAULT_TASK,
    config: AgentConfig | None = None,
    operators: Sequence[Operator] = (Operator.IMPROVE,),
    rules: Sequence[HeartbeatRule] = (),
    tokens: int | None = None,
    agent: AgentId = _AGENT,
    executor: Executor | None = None,
    kind: type[LocalContext] = LocalContext,
) -> AsyncGenerator[LocalContext]:
    """A context in `folder` (made if missing), with a sandbox of `provider`.

    Args:
        folder: Holds journal, repository, workspace and checkpoints.
        provider: Where commands run; the caller closes it.
        seed: Files of attempt 0; by default `x.txt` with a 1.
        score: Scores submitted files.
        task: What the agent is told.
        config: The agent's settings.
        operators: One directive for each, then the run is over.
        rules: Heartbeats.
        tokens: Budget of prompt and completion tokens together.
        agent: The agent's name.
        executor: Where blocking work is done; its own by default.
        kind: A subclass, to watch or break something.
    """
    pool = executor or ThreadPoolExecutor(4)
    workplace = folder / "workspace"
    workplace.mkdir(parents=True, exist_ok=True)
    path = folder / "attempts.git"
    repository = Repository.open(path) if path.exists() else Repository.create(path)
    mount = Mount(workplace, "/work", read_only=False)
    sandbox = await provider.create(SandboxSpec("agent", (mount,)))
    try:
        rules_of_tree = SubmissionRules(include=task.submission)
        workspace = Workspace(
            sandbox,
            repository,
            rules_of_tree,
            folder=workplace,
            owner=provider.owner,
            executor=pool,
        )
        context = kind(
            folder,
            sandbox=sandbox,
            workspace=workspace,
            repository=repository,
            score=score,
            task=task,
            config=config or AgentConfig(),
            operators=operators,
            rules=rules,
            tokens=tokens,
            agent=agent,
        )
        await context.begin(seed or {"x.txt": b"1\n"})
        yield context
    finally:
        await sandbox.close()
        repository.close()
        if executor is None:
            pool.shutdown(wait=False)
