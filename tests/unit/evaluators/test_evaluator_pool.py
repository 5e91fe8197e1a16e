"""The pool: as many at once as there are slots, in order, cancellable."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.attempt import Status, Verdict
from harness.evaluators.base import EvaluationJob, LateVerdict
from harness.evaluators.pool import EvaluatorPool
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.base import ExecEnd, ExecResult
from harness.sandbox.tree import TreeFile


class Gate:
    """An evaluator that scores an attempt by its number once its gate opens."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.started: list[int] = []
        self.cancelled = 0
        self.most_at_once = 0
        self.closed = False
        self._now = 0

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        self.started.append(int(job.attempt))
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._now -= 1
        if job.seed < 0:
            raise ZeroDivisionError("a bug")
        return Verdict(Status.SCORED, score=float(job.attempt))

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        verdict = await self.evaluate(job)
        return ExecResult(ExecEnd.EXITED, 0, str(verdict.score).encode(), b"", 0.0)

    async def close(self) -> None:
        self.closed = True


def job(number: int, seed: int = 0) -> EvaluationJob:
    return EvaluationJob(AttemptId(str(number)), FilesSubmission({}), seed)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_slots_bound_and_order_is_kept() -> None:
    gate = Gate()
    pool = EvaluatorPool(gate, 3)
    tasks = [asyncio.create_task(pool.evaluate(job(number))) for number in range(10)]
    await settle()
    assert (pool.running, pool.queued) == (3, 7)
    gate.open.set()
    verdicts = await asyncio.gather(*tasks)
    assert [verdict.score for verdict in verdicts] == [float(number) for number in range(10)]
    assert gate.started == list(range(10))
    assert gate.most_at_once == 3
    assert (pool.running, pool.queued) == (0, 0)
    await pool.close()
    assert gate.closed


async def test_cancelling_a_caller_frees_its_slot() -> None:
    gate = Gate()
    pool = EvaluatorPool(gate, 1)
    first, queued, last = (asyncio.create_task(pool.evaluate(job(n))) for n in range(3))
    await settle()
    queued.cancel()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert queued.cancelled()
    assert gate.started == [0, 2]
    gate.open.set()
    assert (await last).score == 2.0
    await pool.close()


async def test_close_cancels_the_rest_with_a_verdict() -> None:
    gate = Gate()
    pool = EvaluatorPool(gate, 2)
    tasks = [asyncio.create_task(pool.evaluate(job(number))) for number in range(5)]
    await settle()
    await pool.close()
    verdicts = await asyncio.gather(*tasks)
    assert {verdict.status for verdict in verdicts} == {Status.CANCELLED}
    assert gate.cancelled == 2
    with pytest.raises(RuntimeError, match="closed"):
        await pool.evaluate(job(9))
    await pool.close()


async def test_an_evaluator_that_raises_costs_one_verdict() -> None:
    gate = Gate()
    gate.open.set()
    pool = EvaluatorPool(gate, 1)
    verdict = await pool.evaluate(job(1, seed=-1))
    assert verdict.status is Status.EVALUATOR_ERROR
    assert not verdict.charged
    assert "ZeroDivisionError: a bug" in verdict.stages[0].detail
    assert "ZeroDivisionError" not in verdict.feedback
    assert (await pool.evaluate(job(2))).score == 2.0
    await pool.close()


def test_no_slots() -> None:
    with pytest.raises(ValueError, match="0 slots"):
        EvaluatorPool(Gate(), 0)


def test_files_are_written(tmp_path: Path) -> None:
    files = {"a/b.txt": TreeFile(b"x"), "run.sh": TreeFile(b"#!", executable=True)}
    FilesSubmission(files).write_to(tmp_path / "new")
    assert (tmp_path / "new" / "a" / "b.txt").read_bytes() == b"x"
    assert (tmp_path / "new" / "run.sh").stat().st_mode & 0o777 == 0o755


async def test_a_trial_takes_a_slot() -> None:
    gate = Gate()
    pool = EvaluatorPool(gate, 1)
    scored = asyncio.create_task(pool.evaluate(job(0)))
    await settle()
    tried = asyncio.create_task(pool.try_out(job(1), ["true"], timeout_s=1.0))
    await settle()
    assert gate.started == [0]
    gate.open.set()
    await scored
    assert (await tried).ok
    assert gate.most_at_once == 1
    await pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        await pool.try_out(job(2), ["true"], timeout_s=1.0)


class Late(Gate):
    """Goes on when it is cancelled, and answers when the gate opens."""

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        inner = asyncio.ensure_future(super().evaluate(job))
        while not inner.done():
            try:
                await asyncio.shield(inner)
            except asyncio.CancelledError:
                self.cancelled += 1
        return inner.result()


async def test_an_answer_after_its_caller_gave_up_is_nobodys() -> None:
    late, told = Late(), list[LateVerdict]()
    pool = EvaluatorPool(late, 1, late=told.append)
    given_up = asyncio.create_task(pool.evaluate(job(1)))
    await settle()
    given_up.cancel()
    await settle()
    late.open.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert late.cancelled == 1
    assert [(each.attempt, each.verdict.score) for each in told] == [("1", 1.0)]
    # The attempt is evaluated again, as after a resume: one verdict each, and its own.
    assert (await pool.evaluate(job(2))).score == 2.0
    assert (await pool.evaluate(job(1))).score == 1.0
    await pool.close()
    assert late.started == [1, 2, 1]
