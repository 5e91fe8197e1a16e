"""The run as one agent sees it: the implementation of `AgentContext`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from typing import Any

from harness.agents.base import (
    AgentConfig,
    Assignment,
    BudgetView,
    ModelCall,
    Submitted,
    TaskView,
    Usage,
)
from harness.agents.heartbeats.base import Intervention
from harness.attempt import Attempt, Status
from harness.errors import BudgetExhaustedError, SubmissionRefusedError
from harness.events import EventKind
from harness.ids import AgentId, AttemptId
from harness.memory.base import Recalled
from harness.run.attempts import Candidate
from harness.run.chronicle import Chronicle
from harness.run.core import Core
from harness.run.evaluation import Evaluations
from harness.run.model_call import RecordedCall
from harness.sandbox.base import Sandbox
from harness.sandbox.workspace import Workspace
from harness.search.base import Directive, SearchContext, directive_rng
from harness.search.graph import AttemptGraph
from harness.tasks.base import Task

DUPLICATES_PER_DIRECTIVE = 5
TITLE_CHARACTERS = 200
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
        self._sandbox = sandbox
        self._workspace = workspace
        self._chronicle = chronicle
        self._evaluations = evaluations
        self._current: Assignment | None = None
        self._duplicates = 0
        knowledge = sandbox.path(KNOWLEDGE) if core.task.knowledge is not None else None
        self._task = task_view(core.task, knowledge)

    @property
    def agent(self) -> AgentId:
        return self._agent

    @property
    def task(self) -> TaskView:
        return self._task

    @property
    def config(self) -> AgentConfig:
        return self._core.config.agent

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
        """After a resume: the directive this agent had not finished."""
        for agent, directive, recalled in self._core.store.directives.still_open():
            if agent == self._agent:
                graph = self._core.graph
                self._core.expanding[self._agent] = directive.base
                self._current = Assignment(
                    directive,
                    graph[directive.base],
                    tuple(graph[reference] for reference in directive.references),
                    tuple(await self._chronicle.again(directive.number, recalled)),
                )

    async def assignment(self) -> Assignment | None:
        core = self._core
        self._duplicates = 0
        self._current = None
        core.expanding.pop(self._agent, None)
        core.store.directives.close(self._agent)
        if core.ending:
            return None
        with core.timings.phase("select"):
            directive = self._select()
        core.expanding[self._agent] = directive.base
        base = core.graph[directive.base]
        core.say(self._agent, "working", f"{directive.operator} {directive.base}")
        with core.timings.phase("recall"):
            recalled = await self._chronicle.recall_for(
                self._agent, directive.number, directive.operator, base
            )
        with core.timings.phase("workspace"):
            await self._workspace.load(base.tree)
        # Opened last: after a kill, an open directive has its base in the workspace.
        core.store.directives.open(self._agent, directive, [each.record.id for each in recalled])
        references = tuple(core.graph[reference] for reference in directive.references)
        self._current = Assignment(directive, base, references, tuple(recalled))
        return self._current

    def _select(self) -> Directive:
        core = self._core
        number = core.next_directive()
        others = [base for agent, base in core.expanding.items() if agent != self._agent]
        return core.policy.next(
            core.graph,
            SearchContext(
                number=number,
                progress=core.budget.progress(),
                agent=self._agent,
                in_flight=others,
                avoid=(),
                rng=directive_rng(core.config.seed, number),
            ),
        )

    async def submit(
        self, title: str, *, key: str, detail: Mapping[str, Any] | None = None
    ) -> Submitted:
        earlier = self._core.store.attempts.effect(self._agent, key)
        if earlier is not None:
            return await self._answer(AttemptId(earlier))
        if self._core.ending:
            raise BudgetExhaustedError(f"the run is ending ({self._core.ending.reason})")
        self.say("submitting")
        await self._core.budget.admit()
        started = False
        try:
            if self._core.ending:  # it may have begun while this waited for its turn
                raise BudgetExhaustedError(f"the run is ending ({self._core.ending.reason})")
            attempt = await self._record(title, key, dict(detail or {}))
            started = attempt.status is not Status.DUPLICATE
        finally:
            if not started:
                await self._core.budget.settle(charged=False)
        self.say("waiting for the verdict")
        return await self._answer(attempt.id)

    async def _record(self, title: str, key: str, detail: dict[str, Any]) -> Attempt:
        core, assignment = self._core, self._current
        if assignment is None:
            raise SubmissionRefusedError("there is no open directive: ask for an assignment first")
        title = " ".join(title.split())[:TITLE_CHARACTERS] or assignment.directive.operator.value
        try:
            with core.timings.phase("snapshot"):
                tree = await self._workspace.snapshot()
                commit = await core.in_pool(
                    core.repository.commit,
                    tree,
                    [assignment.base.commit, *(each.commit for each in assignment.references)],
                    title,
                    self._agent,
                    core.clock.now(),
                )
        except SubmissionRefusedError as error:
            core.store.event(EventKind.REFUSED, agent=self._agent, reason=str(error))
            raise
        attempt = core.store.attempts.submit(
            Candidate(
                commit=commit,
                tree=tree,
                agent=self._agent,
                operator=assignment.directive.operator,
                parents=(assignment.base.id,),
                references=assignment.directive.references,
                title=title,
                directive=assignment.directive.number,
                detail=detail,
            ),
            key=key,
        )
        core.graph.put(attempt)
        # From here on the attempt is in the store: whoever asks for its verdict must get one.
        if attempt.status is Status.DUPLICATE:
            core.repeated()
        else:
            self._evaluations.start(attempt)
        core.set_ref(f"refs/attempts/{attempt.id}", commit)
        return attempt

    async def _answer(self, attempt: AttemptId) -> Submitted:
        judged = await self._evaluations.verdict_of(attempt)
        assert judged.verdict is not None
        self.say("thinking")
        mine = self._core.graph[attempt]
        if mine.status is not Status.DUPLICATE:
            self._duplicates = 0
            return Submitted(mine, judged.verdict)
        self._duplicates += 1
        closed = self._duplicates >= DUPLICATES_PER_DIRECTIVE
        if closed:
            self._core.store.directives.close(self._agent)
        return Submitted(mine, judged.verdict, closed=closed)

    async def read_attempt(self, attempt: AttemptId) -> Mapping[str, bytes]:
        found = self._core.graph[attempt]
        files = await self._core.in_pool(self._core.repository.files, found.tree)
        return {path: file.data for path, file in files.items()}

    async def diff(self, base: AttemptId, attempt: AttemptId) -> str:
        graph, repository = self._core.graph, self._core.repository
        return await self._core.in_pool(repository.diff, graph[base].tree, graph[attempt].tree)

    async def recall(self, text: str, *, purpose: str = "search", limit: int = 5) -> list[Recalled]:
        number = self._current.directive.number if self._current else None
        return await self._chronicle.recall(
            self._agent, text, purpose=purpose, limit=limit, directive=number
        )

    async def note(self, title: str, text: str, *, key: str) -> str:
        return await self._chronicle.note(self._agent, title, text, key=key)

    def interventions(self) -> Sequence[Intervention]:
        return self._core.store.interventions.take(self._agent)

    def budget(self) -> BudgetView:
        return self._core.budget.view()

    def rng(self) -> Random:
        number = self._current.directive.number if self._current else 0
        return directive_rng(self._core.config.seed, number)

    def model_call(self, worst_case: Usage) -> AbstractAsyncContextManager[ModelCall]:
        number = self._current.directive.number if self._current else None
        return RecordedCall(self._core, self._agent, number, worst_case)

    def say(self, activity: str) -> None:
        self._core.say(self._agent, "working", activity)

    def log(self, turn: Mapping[str, Any]) -> None:
        line = json.dumps({"at": self._core.clock.now(), **turn}, ensure_ascii=False)
        path = self._core.folder.transcripts / f"{self._agent}.jsonl"
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")


def task_view(task: Task, knowledge: str | None) -> TaskView:
    """What agents may know of a task; `knowledge` as their commands see the folder."""
    file = task.file
    return TaskView(
        name=file.name,
        description=file.description,
        direction=file.direction,
        baseline=file.baseline.value if file.baseline else None,
        best_known=file.best_known.value if file.best_known else None,
        produce=tuple(file.evaluator.produce),
        outputs=tuple(file.evaluator.outputs),
        timeout_s=file.evaluator.timeout_s,
        submission=tuple(file.submission.include),
        knowledge=knowledge,
    )
