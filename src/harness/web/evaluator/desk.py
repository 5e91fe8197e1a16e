"""Takes candidates in: the budget, verdicts that are known already, and the best so far."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.attempt import Direction, Status, Verdict, better
from harness.errors import BudgetExhaustedError, HarnessError, InfrastructureError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.pool import EvaluatorPool
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task

CLEAN_UP_S = 10.0
"""Longest wait for evaluations to end once their pool is closed."""


class ClosingError(HarnessError):
    """The evaluation was not begun, or cut off: the server ends."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A verdict, and the evaluation it comes from."""

    number: int
    """Counts evaluations that were begun, from 1."""
    tree: str
    """Hash of the candidate's files."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets; a `duplicate` cost nothing."""

    scored: Scored
    duplicate: bool


class EvaluationDesk:
    """Evaluates each tree once, and no more of them than the budget allows.

    A client that goes away leaves its evaluation running: it is paid, and asking again gets its
    verdict. **Ownership**: the pool is its opener's; `close` closes it early, which is allowed.

    Args:
        limit: Evaluations that may be charged; None: any number.
        seed: Of all evaluations, see `EvaluationJob`.
        listener: Told of each evaluation that ended.
    """

    def __init__(
        self,
        pool: EvaluatorPool,
        direction: Direction,
        *,
        limit: int | None,
        seed: int = 0,
        listener: Callable[[Scored], None] | None = None,
    ) -> None:
        self._pool = pool
        self._direction: Direction = direction
        self._seed = seed
        self._listener = listener
        self._known: dict[str, asyncio.Task[Scored]] = {}
        self._begun = 0
        self.limit = limit
        self.used = 0
        """Evaluations that are charged, those under way included."""
        self.best: Scored | None = None
        """The earliest of the best scores."""
        self.closing = False

    @property
    def left(self) -> int | None:
        """Evaluations that may still be begun; None: any number."""
        return None if self.limit is None else self.limit - self.used

    @property
    def running(self) -> int:
        """Evaluations that hold a slot of the pool."""
        return self._pool.running

    @property
    def queued(self) -> int:
        """Evaluations that wait for one."""
        return self._pool.queued

    async def evaluate(self, files: Mapping[str, TreeFile]) -> Answer:
        """The verdict on these files; the one that is known, or under way, where there is one.

        Raises:
            BudgetExhaustedError: The tree is new, and all evaluations are used.
            InfrastructureError: Judge or sandbox failed; nothing is charged, and the same tree may
                be tried again.
            ClosingError: The desk was closed.
        """
        if self.closing:
            raise ClosingError("the server is closing")
        tree = tree_hash(files)
        task = self._known.get(tree)
        duplicate = task is not None
        if task is None:
            task = self._begin(tree, files)
        scored = await asyncio.shield(task)
        if scored.verdict.status is Status.CANCELLED:
            raise ClosingError("the server closed before this was scored")
        if not scored.verdict.charged:
            raise InfrastructureError(
                f"{scored.verdict.status}: {scored.verdict.feedback} Nothing was charged."
            )
        return Answer(scored, duplicate)

    async def close(self) -> None:
        """Take nothing in any more and cut off what is under way. May be called twice."""
        self.closing = True
        await self._pool.close()
        if unfinished := [task for task in self._known.values() if not task.done()]:
            await asyncio.wait(unfinished, timeout=CLEAN_UP_S)

    def _begin(self, tree: str, files: Mapping[str, TreeFile]) -> asyncio.Task[Scored]:
        if self.limit is not None and self.used >= self.limit:
            raise BudgetExhaustedError(f"all {self.limit} evaluations are used")
        self._begun += 1
        self.used += 1
        task = asyncio.create_task(self._score(self._begun, tree, files))
        task.add_done_callback(self._tell)
        self._known[tree] = task
        return task

    async def _score(self, number: int, tree: str, files: Mapping[str, TreeFile]) -> Scored:
        charged = False
        try:
            job = EvaluationJob(AttemptId(str(number)), FilesSubmission(files, tree), self._seed)
            scored = Scored(number, tree, await self._pool.evaluate(job))
            charged = scored.verdict.charged
        finally:
            if not charged:
                self.used -= 1
                del self._known[tree]
        self._observe(scored)
        return scored

    def _observe(self, scored: Scored) -> None:
        score, best = scored.verdict.score, self.best
        if score is not None and (
            best is None
            or best.verdict.score is None
            or better(self._direction, score, best.verdict.score)
        ):
            self.best = scored

    def _tell(self, task: asyncio.Task[Scored]) -> None:
        """Called by the loop, so that what fails in a listener costs no verdict."""
        if self._listener is not None and not task.cancelled() and task.exception() is None:
            self._listener(task.result())


def evaluations_of(task: Task, wanted: int | None) -> int | None:
    """The limit for a task: what is wanted, else its own budget; None: any number.

    Never more than one agent may have of scores on hidden data: whoever asks often learns it.
    """
    hidden = task.file.evaluator.hidden
    limits = (wanted or task.file.budget.evaluations, hidden.per_agent if hidden else None)
    return min((limit for limit in limits if limit is not None), default=None)


def tree_hash(files: Mapping[str, TreeFile]) -> str:
    """The same for the same files, and for no others."""
    digest = hashlib.sha256()
    for path, file in sorted(files.items()):
        content = hashlib.sha256(file.data).hexdigest()
        digest.update(json.dumps([path, file.executable, content]).encode())
    return digest.hexdigest()
