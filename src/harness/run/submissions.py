"""From an agent's work tree to attempts, and their verdicts back to the agent."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from harness.agents.base import Assignment, Submitted
from harness.attempt import Attempt, Status, Verdict
from harness.errors import BudgetExhaustedError, QuotaUsedError, SubmissionRefusedError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.submission import RecordedSubmission
from harness.events import EventKind
from harness.ids import AgentId, AttemptId, CommitHash, TreeHash
from harness.redact import redact
from harness.run.attempts import Candidate
from harness.run.core import Core
from harness.run.evaluation import Evaluations
from harness.run.novelty import REMEMBERED
from harness.sandbox.base import ExecResult
from harness.sandbox.workspace import Workspace

DUPLICATES_PER_DIRECTIVE = 5
TITLE_CHARACTERS = 200


def quota_used(core: Core, agent: AgentId) -> str | None:
    """What to tell an agent that may not submit any more by the task's quota; None: it may."""
    hidden = core.task.file.evaluator.hidden
    if hidden is None or hidden.per_agent is None:
        return None
    charged = sum(
        each.agent == agent and (each.verdict is None or each.verdict.charged)
        for each in core.graph
        if each.status is not Status.DUPLICATE
    )
    if charged < hidden.per_agent:
        return None
    return f"{agent} has used the {hidden.per_agent} evaluations that the task allows each agent"


class Submissions:
    """One agent's submissions. Belongs to the event loop."""

    def __init__(
        self, core: Core, agent: AgentId, workspace: Workspace, evaluations: Evaluations
    ) -> None:
        self._core = core
        self._agent = agent
        self._workspace = workspace
        self._evaluations = evaluations
        self._assignment: Assignment | None = None
        self._consulted: list[AttemptId] = []
        self._duplicates = 0
        self._refusals = 0
        """Near-duplicates refused in this directive."""
        self._waiting: list[AttemptId] = []
        """Submitted without waiting, and the verdict not given back yet."""
        self._given: list[AttemptId] = []
        """Given back just now; a kill before the agent's next step gives them once more."""

    def begin(self, assignment: Assignment | None) -> None:
        """What follows belongs to this assignment."""
        self._assignment = assignment
        self._consulted = []
        self._duplicates = 0
        self._refusals = 0
        self._settle_given()

    def restore(self) -> None:
        """After a resume: verdicts the agent has not been told."""
        self._waiting = self._core.store.attempts.untold(self._agent)

    async def checkout(self, attempt: AttemptId) -> None:
        """Put the workspace on an attempt's tree; what is submitted next refers to it."""
        await self._workspace.load(self._core.graph[attempt].tree)
        if attempt not in self._consulted:
            self._consulted.append(attempt)

    async def changes(self) -> str:
        """Unified diff from the directive's base to the workspace."""
        tree = await self._workspace.snapshot()
        if self._assignment is None:
            return ""
        repository = self._core.repository
        return await self._core.in_pool(repository.diff, self._assignment.base.tree, tree)

    async def try_out(self, argv: Sequence[str], timeout_s: float) -> ExecResult:
        """Run a command on the workspace's tree where candidates run."""
        core = self._core
        await core.hold(self._agent)
        tree = await self._workspace.snapshot()
        job = EvaluationJob(
            attempt=AttemptId("try"),
            submission=RecordedSubmission(core.repository, tree),
            seed=core.config.seed,
            labels={"harness.run": core.folder.id, "harness.agent": self._agent},
        )
        with core.timings.phase("try"):
            return await self._evaluations.try_out(job, argv, timeout_s)

    async def submit(
        self, title: str, *, key: str, detail: Mapping[str, Any] | None, wait: bool
    ) -> Submitted:
        """See `AgentContext.submit`."""
        earlier = self._core.store.attempts.effect(self._agent, key)
        if earlier is not None:
            return await self._answer(AttemptId(earlier), wait=wait)
        await self._core.hold(self._agent)
        self._refuse_when_ending()
        if (used := quota_used(self._core, self._agent)) is not None:
            raise QuotaUsedError(used)
        self._core.say(self._agent, "working", "submitting")
        await self._core.budget.admit()
        started = False
        try:
            self._refuse_when_ending()  # it may have begun while this waited for its turn
            attempt = await self._record(title, key, dict(detail or {}), told=wait)
            started = self._core.graph[attempt].status is not Status.DUPLICATE
        finally:
            if not started:
                await self._core.budget.settle(charged=False)
        return await self._answer(attempt, wait=wait)

    async def results(self, *, wait: bool) -> Sequence[Submitted]:
        """See `AgentContext.results`."""
        self._settle_given()
        if wait and self._waiting and not self._judged():
            await self._first_verdict()
        self._given = self._judged()
        self._waiting = [each for each in self._waiting if each not in self._given]
        answered = [Submitted(self._core.graph[each], self._verdict(each)) for each in self._given]
        return answered + [Submitted(self._core.graph[each], None) for each in self._waiting]

    async def _first_verdict(self) -> None:
        self._core.say(self._agent, "evaluating", "waiting for a verdict")
        waits = [asyncio.create_task(self._evaluations.verdict_of(each)) for each in self._waiting]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        self._core.say(self._agent, "working", "")

    def _judged(self) -> list[AttemptId]:
        return [each for each in self._waiting if self._verdict(each) is not None]

    def _verdict(self, attempt: AttemptId) -> Verdict | None:
        graph = self._core.graph
        return graph[graph[attempt].duplicate_of or attempt].verdict

    def _settle_given(self) -> None:
        if self._given:
            self._core.store.attempts.tell(self._given)
            self._given = []

    def _refuse_when_ending(self) -> None:
        if self._core.ending:
            raise BudgetExhaustedError(f"the run is ending ({self._core.ending.reason})")

    async def _record(
        self, title: str, key: str, detail: dict[str, Any], *, told: bool
    ) -> AttemptId:
        core, assignment = self._core, self._assignment
        if assignment is None:
            raise SubmissionRefusedError("there is no open directive: ask for an assignment first")
        title = (
            redact(" ".join(title.split()))[:TITLE_CHARACTERS]
            or assignment.directive.operator.value
        )
        known = {assignment.base.id, *assignment.directive.references}
        consulted = [each for each in self._consulted if each not in known]
        references = (*assignment.directive.references, *consulted)
        try:
            with core.timings.phase("snapshot"):
                tree = await self._workspace.snapshot()
                await self._refuse_known(tree)
                commit = await self._commit(tree, assignment, references, title)
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
                references=references,
                title=title,
                directive=assignment.directive.number,
                detail=detail,
            ),
            key=key,
            told=told,
        )
        core.graph.put(attempt)
        # From here on the attempt is in the store: whoever asks for its verdict must get one.
        if attempt.status is Status.DUPLICATE:
            core.repeated()
        else:
            self._evaluations.start(attempt)
        if not told:
            self._waiting.append(attempt.id)
        core.set_ref(f"refs/attempts/{attempt.id}", commit)
        return attempt.id

    async def _refuse_known(self, tree: TreeHash) -> None:
        """Refuse what is nearly an earlier attempt, a few times in a directive.

        Raises:
            SubmissionRefusedError: Says which attempt it resembles, how, and what that scored.
        """
        core, novelty = self._core, self._core.novelty
        left = novelty.config.retries - self._refusals
        if left <= 0 or not novelty.active:
            return
        twin = await core.in_pool(novelty.twin, tree, core.graph.newest(REMEMBERED))
        if twin is None:
            return
        self._refusals += 1
        core.repeated()
        verdict = self._verdict(twin.attempt)
        came = "not judged yet" if verdict is None else f"{verdict.status}, score {verdict.score}"
        raise SubmissionRefusedError(
            f"not evaluated: the submission {twin.how} attempt {twin.attempt} ({came}). Make a"
            f" change that can matter; {left - 1} more such refusals before it is evaluated anyway"
        )

    async def _commit(
        self,
        tree: TreeHash,
        assignment: Assignment,
        references: Sequence[AttemptId],
        title: str,
    ) -> CommitHash:
        core = self._core
        parents = [assignment.base.commit, *(core.graph[each].commit for each in references)]
        return await core.in_pool(
            core.repository.commit, tree, parents, title, self._agent, core.clock.now()
        )

    async def _answer(self, attempt: AttemptId, *, wait: bool) -> Submitted:
        core = self._core
        closed = self._count_duplicate(core.graph[attempt])
        verdict = self._verdict(attempt)
        if verdict is None and wait:
            core.say(self._agent, "evaluating", f"waiting for the verdict on attempt {attempt}")
            verdict = (await self._evaluations.verdict_of(attempt)).verdict
            core.say(self._agent, "working", "")
        if verdict is not None and attempt in self._waiting:
            self._waiting.remove(attempt)
            self._given.append(attempt)
        return Submitted(core.graph[attempt], verdict, closed=closed)

    def _count_duplicate(self, attempt: Attempt) -> bool:
        """Whether this is one duplicate too many in a row: the directive is closed then."""
        if attempt.status is not Status.DUPLICATE:
            self._duplicates = 0
            return False
        self._duplicates += 1
        closed = self._duplicates >= DUPLICATES_PER_DIRECTIVE
        if closed:
            self._core.store.directives.close(self._agent)
        return closed
