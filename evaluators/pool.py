"""Bounds how many evaluations run at once."""

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from harness.attempt import StageResult, Status, Verdict
from harness.evaluators.base import EvaluationJob, Evaluator, LateVerdict
from harness.evaluators.resources import Resources
from harness.sandbox.base import ExecResult

logger = logging.getLogger(__name__)

SITE = "this process"
"""Where a late answer of the local pool came from."""


def _forget(late: LateVerdict) -> None:
    """Nobody wants to know."""


class EvaluatorPool:
    """Runs evaluations in `slots` at a time, first come, first served.

    One that has a slot waits for its turn on this host and for its GPUs (`resources`), then starts.

    **Ownership**: the pool closes the evaluator. **Cancellation**: whoever awaits an evaluation
    may cancel it, queued or running; its slot is free at once. `close` cancels the rest, which
    then end with the status `cancelled`.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        slots: int,
        resources: Resources | None = None,
        late: Callable[[LateVerdict], None] | None = None,
    ) -> None:
        if slots < 1:
            raise ValueError(f"{slots} slots: at least one is needed")
        self.slots = slots
        self._evaluator = evaluator
        self._resources = resources
        self._late = late or _forget
        # Waiters of an asyncio semaphore are served in order.
        self._free = asyncio.Semaphore(slots)
        self._tasks: set[asyncio.Task[Verdict]] = set()
        self._running = 0
        self._closed = False

    @property
    def running(self) -> int:
        """Evaluations that hold a slot."""
        return self._running

    @property
    def queued(self) -> int:
        """Evaluations that wait for a slot."""
        return len(self._tasks) - self._running

    async def evaluate(
        self, job: EvaluationJob, *, started: Callable[[], None] | None = None
    ) -> Verdict:
        """Score one submission as soon as a slot is free; `started` is called when one is.

        Raises:
            RuntimeError: When the pool is closed.
            asyncio.CancelledError: When the caller is cancelled, and only then.
        """
        if self._closed:
            raise RuntimeError("the evaluator pool is closed")
        task = asyncio.get_running_loop().create_task(self._run(job, started))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        verdict = Verdict(Status.CANCELLED, feedback="The run ended before this was scored.")
        with suppress(asyncio.CancelledError):
            verdict = await task
        caller = asyncio.current_task()
        # Also where the evaluator went on and answered: that is late, and nobody's verdict.
        if caller is not None and caller.cancelling():
            if verdict.status is not Status.CANCELLED:
                self._late(LateVerdict(job.attempt, "", SITE, verdict))
            raise asyncio.CancelledError
        return verdict

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run, as soon as a slot is free.

        Raises:
            RuntimeError: When the pool is closed.
            SandboxUnavailableError: The sandbox, not the command, failed.
        """
        if self._closed:
            raise RuntimeError("the evaluator pool is closed")
        async with self._free, self._hold(job) as ready:
            return await self._evaluator.try_out(ready, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """Cancel what is queued and running, then close the evaluator. May be called twice."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._evaluator.close()

    async def _run(self, job: EvaluationJob, notify: Callable[[], None] | None) -> Verdict:
        async with self._free, self._hold(job) as ready:
            self._running += 1
            started = time.perf_counter()
            if notify is not None:
                notify()
            try:
                return await self._evaluator.evaluate(ready)
            # An evaluator promises not to raise. One that does (a third party's, a bug of ours)
            # must cost one verdict, not the run: the caller sees it as an evaluator error.
            except Exception as error:
                logger.exception("the evaluator raised on attempt %s", job.attempt)
                spent = time.perf_counter() - started
                detail = "".join(traceback.format_exception(error))[-4096:]
                return Verdict(
                    Status.EVALUATOR_ERROR,
                    feedback="The evaluator failed. This is not the fault of the submission.",
                    stages=(StageResult("evaluate", Status.EVALUATOR_ERROR, spent, detail),),
                    duration_s=spent,
                )
            finally:
                self._running -= 1

    @asynccontextmanager
    async def _hold(self, job: EvaluationJob) -> AsyncGenerator[EvaluationJob]:
        """The job with the GPUs that it may use."""
        if self._resources is None:
            yield job
            return
        async with self._resources.hold() as gpus:
            yield replace(job, gpus=gpus)
