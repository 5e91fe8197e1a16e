"""From a queued attempt to its recorded verdict."""

import asyncio
from collections.abc import Sequence

from harness.attempt import Attempt, Status, better
from harness.errors import EvaluatorFailedError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.pool import EvaluatorPool
from harness.evaluators.submission import RecordedSubmission
from harness.events import EventKind
from harness.ids import SEED_ATTEMPT, AttemptId
from harness.run.chronicle import Chronicle
from harness.run.core import Core
from harness.run.pulse import Pulse
from harness.sandbox.base import ExecResult

MAX_EVALUATOR_FAILURES = 5
"""So many evaluations in a row without a verdict on the candidate end the run."""
OUTAGE_POLL_S = 1.0
MAIN = "refs/heads/main"
"""The best attempt: what a plain `git clone` of the attempts checks out."""


class Evaluations:
    """The evaluations in flight. Each ends with exactly one verdict in the store."""

    def __init__(self, core: Core, pool: EvaluatorPool, chronicle: Chronicle, pulse: Pulse) -> None:
        self._core = core
        self._pool = pool
        self._chronicle = chronicle
        self._pulse = pulse
        self._running: dict[AttemptId, asyncio.Task[Attempt]] = {}
        self._failures = 0

    def start(self, attempt: Attempt) -> None:
        """Put a queued attempt, admitted by the budget, on its way."""
        task = asyncio.create_task(self._evaluate(attempt), name=f"evaluate-{attempt.id}")
        self._running[attempt.id] = task
        self._core.duplicates = self._core.fruitless = 0
        task.add_done_callback(lambda done: self._done(attempt.id, done))

    async def verdict_of(self, attempt: AttemptId) -> Attempt:
        """The attempt that holds the verdict: itself, or what it duplicates."""
        known = self._core.graph[attempt]
        return await self._judged(known.duplicate_of or attempt)

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run, unscored."""
        return await self._pool.try_out(job, argv, timeout_s=timeout_s)

    async def drain(self) -> None:
        """Until nothing is in flight."""
        while self._running:
            await asyncio.wait(self._running.values(), timeout=OUTAGE_POLL_S)
            await asyncio.sleep(0)
            if self._core.watch.outage is not None:
                await self.cancel()  # nobody knows for how long; a resume evaluates them

    async def cancel(self) -> None:
        """Drop what is in flight; the attempts stay queued and a resume evaluates them."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _judged(self, attempt: AttemptId) -> Attempt:
        task = self._running.get(attempt)
        if task is not None:
            return await asyncio.shield(task)
        return self._core.graph[attempt]

    def _done(self, attempt: AttemptId, task: asyncio.Task[Attempt]) -> None:
        self._running.pop(attempt, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._core.ending.request("error", error)

    async def _evaluate(self, attempt: Attempt) -> Attempt:
        core = self._core
        job = EvaluationJob(
            attempt=attempt.id,
            submission=RecordedSubmission(core.repository, attempt.tree),
            seed=core.config.seed,
            labels={"harness.run": core.folder.id, "harness.attempt": attempt.id},
        )
        with core.timings.phase("evaluate"):
            verdict = await self._pool.evaluate(
                job, started=lambda: core.store.attempts.start(attempt.id)
            )
        with core.timings.phase("record"):
            judged = core.store.attempts.verdict(attempt.id, verdict)
            core.graph.put(judged)
            core.standings.observe(judged)
            core.policy.observe(judged)
            await self._remember(judged)
            self._pulse.after(judged)
            if core.graph.best is judged:
                core.set_ref(MAIN, judged.commit)
            await core.budget.settle(charged=verdict.charged)
        self._check_end(judged)
        for listener in core.listeners:
            listener(judged)
        return judged

    async def _remember(self, judged: Attempt) -> None:
        try:
            await self._chronicle.finished(judged)
        except Exception as error:  # supervision: the shared memory is others' too; a resume
            # writes what is missing in it
            self._core.store.event(EventKind.WARNING, text=f"not remembered: {error}")

    def _check_end(self, judged: Attempt) -> None:
        core = self._core
        assert judged.verdict is not None
        self._failures = 0 if judged.verdict.charged else self._failures + 1
        if judged.id == SEED_ATTEMPT:
            return
        if self._failures >= MAX_EVALUATOR_FAILURES:
            said = next((s.detail for s in reversed(judged.verdict.stages) if s.detail), "")
            text = f"{self._failures} evaluations in a row failed on the evaluator's side: {said}"
            core.store.event(EventKind.WARNING, text=text)
            core.ending.request("evaluator_error", EvaluatorFailedError(text))
        target = core.config.target if core.config.target is not None else core.task.file.target
        if target is not None and judged.score is not None and judged.status is Status.SCORED:
            reached = judged.score == target or better(core.task.direction, judged.score, target)
            if reached:
                core.ending.request("target")
        if (spent := core.budget.spent()) is not None:
            core.ending.request(spent)
