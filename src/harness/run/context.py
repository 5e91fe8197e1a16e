"""The run as one agent sees it: the implementation of `AgentContext`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

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
from harness.agents.heartbeats.base import Intervention
from harness.evaluators.data import data_places, with_data
from harness.ids import AgentId, AttemptId
from harness.memory.base import MemoryRecord, Recalled, RecordKind
from harness.redact import redact
from harness.run.chronicle import Chronicle
from harness.run.core import Core
from harness.run.evaluation import Evaluations
from harness.run.model_call import RecordedCall
from harness.run.observed import ObservedSandbox
from harness.run.rules import prompt_folders
from harness.run.submissions import Submissions, quota_used
from harness.sandbox.base import ExecResult, Sandbox
from harness.sandbox.workspace import Workspace
from harness.search.base import Directive, SearchContext, directive_rng
from harness.search.graph import AttemptGraph
from harness.tasks.base import Task
from harness.tasks.editable import Editable, editable_of
from harness.tasks.evaluation import AnswerSpec, CommandSpec

KNOWLEDGE = "/knowledge"
"""Where an agent's sandbox has the task's knowledge files."""


class RunContext:
    """One agent's dealings with the run. Belongs to the event loop."""

    def __init__(
        self,
        core: Core,
        agent: AgentId,
        sandbox: Sandbox,
        workspace: Workspace,
        chronicle: Chronicle,
        evaluations: Evaluations,
    ) -> None:
        self._core = core
        self._agent = agent
        self._sandbox = ObservedSandbox(sandbox, partial(core.mark, agent))
        self._workspace = workspace
        self._chronicle = chronicle
        self._submissions = Submissions(core, agent, workspace, evaluations)
        self._current: Assignment | None = None
        knowledge = sandbox.path(KNOWLEDGE) if core.task.knowledge is not None else None
        data = data_places(core.task, sandbox.path)
        self._task = task_view(core.task, knowledge, core.config.sandbox.egress.hosts, data)

    @property
    def agent(self) -> AgentId:
        return self._agent

    @property
    def task(self) -> TaskView:
        return self._task

    @property
    def editable(self) -> Editable | None:
        return self._task.editable

    @property
    def config(self) -> AgentConfig:
        return self._core.roster.config(self._agent)

    @property
    def role(self) -> str:
        return self._core.roster[self._agent].role

    @property
    def model(self) -> ModelConfig:
        return self._core.roster.model(self._agent)

    @property
    def endpoints(self) -> EndpointPool:
        return self._core.endpoints

    @property
    def prompts(self) -> Sequence[Path]:
        return prompt_folders(self._core.task.folder, self.config)

    @property
    def graph(self) -> AttemptGraph:
        return self._core.graph

    @property
    def sandbox(self) -> Sandbox:
        return self._sandbox

    @property
    def checkpoints(self) -> Path:
        return self._core.folder.checkpoints

    @property
    def current(self) -> Assignment | None:
        return self._current

    async def restore(self) -> None:
        """After a resume: the directive this agent had not finished, and what it was not told."""
        for agent, directive, recalled, model in self._core.store.directives.still_open():
            if agent == self._agent:
                records = await self._chronicle.again(directive.number, recalled)
                self._core.roster.choose(agent, model)
                self._begin(directive, records)
        self._submissions.restore()
        self._core.store.interventions.again(self._agent)

    async def assignment(self) -> Assignment | None:
        core = self._core
        self._current = None
        self._submissions.begin(None)
        core.directive_of.pop(self._agent, None)
        core.models.reward(self._agent)
        core.store.directives.close(self._agent)
        await core.hold(self._agent)
        if core.ending or quota_used(core, self._agent) is not None:
            return None
        with core.timings.phase("select"):
            directive = self._select()
        core.directive_of[self._agent] = directive
        base = core.graph[directive.base]
        core.say(self._agent, "working", f"{directive.operator} {directive.base}")
        with core.timings.phase("recall"):
            recalled = await self._chronicle.recall_for(
                self._agent, directive.number, directive.operator, base
            )
        with core.timings.phase("workspace"):
            await self._workspace.load(base.tree)
        model = core.models.choose(self._agent, directive.number)
        # Opened last: after a kill, an open directive has its base in the workspace.
        shown = [each.record.id for each in recalled]
        core.store.directives.open(self._agent, directive, shown, model)
        return self._begin(directive, recalled)

    def _begin(self, directive: Directive, recalled: Sequence[Recalled]) -> Assignment:
        graph = self._core.graph
        self._core.directive_of[self._agent] = directive
        references = tuple(graph[reference] for reference in directive.references)
        self._current = Assignment(directive, graph[directive.base], references, tuple(recalled))
        self._submissions.begin(self._current)
        return self._current

    def _select(self) -> Directive:
        core = self._core
        number = core.next_directive()
        others = [
            directive.base for agent, directive in core.directive_of.items() if agent != self._agent
        ]
        left = core.avoiding.pop(self._agent, None)
        return core.policy.next(
            core.graph,
            SearchContext(
                number=number,
                progress=core.budget.progress(),
                agent=self._agent,
                in_flight=others,
                avoid=core.graph.branch(left) if left is not None else (),
                rng=directive_rng(core.config.seed, number),
            ),
        )

    async def submit(
        self,
        title: str,
        *,
        key: str,
        detail: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> Submitted:
        return await self._submissions.submit(title, key=key, detail=detail, wait=wait)

    async def results(self, *, wait: bool = False) -> Sequence[Submitted]:
        return await self._submissions.results(wait=wait)

    async def try_out(self, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        return await self._submissions.try_out(argv, timeout_s)

    async def checkout(self, attempt: AttemptId) -> None:
        await self._submissions.checkout(attempt)

    async def changes(self) -> str:
        return await self._submissions.changes()

    async def read_attempt(self, attempt: AttemptId) -> Mapping[str, bytes]:
        found = self._core.graph[attempt]
        files = await self._core.in_pool(self._core.repository.files, found.tree)
        return {path: file.data for path, file in files.items()}

    async def diff(self, base: AttemptId, attempt: AttemptId) -> str:
        graph, repository = self._core.graph, self._core.repository
        return await self._core.in_pool(repository.diff, graph[base].tree, graph[attempt].tree)

    async def recall(
        self,
        text: str,
        *,
        purpose: str = "search",
        limit: int = 5,
        kinds: Sequence[RecordKind] = (),
    ) -> list[Recalled]:
        return await self._chronicle.recall(
            self._agent, text, purpose=purpose, limit=limit, kinds=kinds, directive=self._number
        )

    async def note(self, title: str, text: str, *, key: str) -> str:
        return await self._chronicle.note(self._agent, title, text, key=key)

    async def share_skill(
        self, title: str, text: str, files: Mapping[str, str], *, key: str, check: str = ""
    ) -> str:
        return await self._chronicle.skill(
            self._agent, title, text, {"files": dict(files), "check": check}, key=key
        )

    async def record(self, record: str) -> MemoryRecord:
        return await self._chronicle.loaded(self._agent, record, self._number)

    def team(self) -> Sequence[Teammate]:
        return self._core.teammates()

    def claim(self, *, focus: str | None = None, role: str | None = None) -> None:
        self._core.roster.claim(self._agent, focus, role)

    def interventions(self) -> Sequence[Intervention]:
        self._core.urgency(self._agent).clear()
        return self._core.store.interventions.take(self._agent)

    async def urgent(self) -> None:
        await self._core.urgency(self._agent).wait()

    def budget(self) -> BudgetView:
        return self._core.budget.view()

    def rng(self) -> Random:
        return directive_rng(self._core.config.seed, self._number or 0)

    def model_call(self, worst_case: Usage) -> AbstractAsyncContextManager[ModelCall]:
        return RecordedCall(self._core, self._agent, self._number, worst_case)

    def say(self, activity: str) -> None:
        self._core.say(self._agent, "working", activity)

    def log(self, turn: Mapping[str, Any]) -> None:
        line = redact(json.dumps({"at": self._core.clock.now(), **turn}, ensure_ascii=False))
        path = self._core.folder.transcripts / f"{self._agent}.jsonl"
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")

    @property
    def _number(self) -> int | None:
        return self._current.directive.number if self._current else None


def task_view(
    task: Task,
    knowledge: str | None,
    hosts: Sequence[str] = (),
    data: Mapping[str, str] = MappingProxyType({}),
) -> TaskView:
    """What agents may know of a task; `knowledge` and `data` as their commands see the folders."""
    file, spec = task.file, task.file.evaluator
    return TaskView(
        name=file.name,
        description=file.description,
        direction=file.direction,
        baseline=file.baseline.value if file.baseline else None,
        best_known=file.best_known.value if file.best_known else None,
        kind=spec.kind,
        produce=with_data(spec.command, data),
        outputs=tuple(spec.outputs) if isinstance(spec, AnswerSpec) else (),
        timeout_s=spec.timeout_s,
        submission=tuple(file.submission.include),
        hosts=tuple(hosts),
        knowledge=knowledge,
        metric=spec.metric.words if isinstance(spec, CommandSpec) else "",
        editable=editable_of(task),
        sample=with_data(spec.command, {"{data}": data["{sample}"]}) if "{sample}" in data else (),
    )
