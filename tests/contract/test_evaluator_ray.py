"""On a real Ray cluster of two nodes on this machine: the same verdicts, and what goes wrong."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from harness.attempt import Status
from harness.errors import ConfigurationError
from harness.evaluators.base import EvaluationJob, LateVerdict
from harness.evaluators.cluster.config import RayConfig
from harness.evaluators.cluster.connect import connect, leave
from harness.evaluators.cluster.evaluator import RayEvaluator
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.pool import EvaluatorPool
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.base import ExecEnd
from harness.sandbox.config import SandboxConfig
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.testing.evaluator import ANSWER, job, write_task

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STORE_BYTES = 80 * 2**20
SILENCE_S = 2.0


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster whose first node has no room for evaluators; tests add those that have."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    made: Any = Cluster(initialize_head=True, head_node_args=node)
    connect(RayConfig(address=str(made.address)))
    yield made
    leave()
    made.shutdown()


@pytest.fixture
def add_node(head: Any) -> Iterator[Callable[[], Any]]:
    added: list[Any] = []

    def add() -> Any:
        added.append(head.add_node(num_cpus=1, object_store_memory=STORE_BYTES))
        return added[-1]

    yield add
    for node in added:
        if node in head.list_all_nodes():
            head.remove_node(node)


@asynccontextmanager
async def opened(
    task: Task, late: list[LateVerdict] | None = None, deadline_s: float | None = None
) -> AsyncGenerator[tuple[EvaluatorPool, RayEvaluator]]:
    ray = {"silence_s": SILENCE_S, "deadline_s": deadline_s}
    # Leases of its own: other tests may want the machine alone.
    own = {"pool": "ray", "ray": ray, "lease_dir": task.folder / "leases"}
    chosen = EvaluatorConfig.model_validate(own)
    sandbox = SandboxConfig(provider="process")
    told = [] if late is None else late
    with ThreadPoolExecutor(4) as executor:
        evaluator = await RayEvaluator.connect(task, sandbox, chosen, executor, told.append)
        pool = EvaluatorPool(evaluator, evaluator.slots)
        try:
            yield pool, evaluator
        finally:
            await pool.close()


SOURCE = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, "solve.py", TOKEN])
signal.sigwait({signal.SIGUSR1})
"""


class Gated:
    """A job that waits for a signal and then scores 7. Sandboxes hide their files from each other
    and from us; its processes are found by their arguments."""

    def __init__(self) -> None:
        self._token = uuid4().hex
        self.job = job(SOURCE.replace("TOKEN", repr(self._token)) + ANSWER % 7)
        self.seen: list[int] = []

    async def start(self) -> int:
        """The next process that runs it."""
        async with asyncio.timeout(60):
            while not (new := set(self.running()).difference(self.seen)):
                await asyncio.sleep(0.05)
        (pid,) = new
        self.seen.append(pid)
        return pid

    def running(self) -> list[int]:
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if f"solve.py\0{self._token}".encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def open(self) -> None:
        for pid in self.running():
            os.kill(pid, signal.SIGUSR1)


@pytest.fixture
def gated() -> Gated:
    return Gated()


async def test_the_same_verdicts_as_here(add_node: Callable[[], Any], tmp_path: Path) -> None:
    add_node()
    add_node()
    async with opened(write_task(tmp_path / "task")) as (pool, _):
        assert pool.slots == 2
        verdicts = await asyncio.gather(
            pool.evaluate(job(ANSWER % 2.5, seed=7)),
            pool.evaluate(job(ANSWER % "float('nan')")),
            pool.evaluate(job("import sys; print('why', file=sys.stderr); sys.exit(1)")),
        )
        trial = EvaluationJob(AttemptId("try"), FilesSubmission({"a.txt": TreeFile(b"\xff")}))
        tried = await pool.try_out(trial, ["sh", "-c", "cat a.txt; exit 3"], timeout_s=10)
        slow = await pool.try_out(trial, ["sleep", "30"], timeout_s=0.5)
    assert [verdict.status for verdict in verdicts] == [
        Status.SCORED,
        Status.INVALID,
        Status.FAILED,
    ]
    assert (verdicts[0].score, dict(verdicts[0].metrics)) == (2.5, {"seed": 7.0})
    assert [stage.name for stage in verdicts[0].stages] == ["produce", "judge"]
    assert "why" in verdicts[2].feedback
    assert (tried.end, tried.exit_code, tried.stdout) == (ExecEnd.EXITED, 3, b"\xff")
    assert slow.end is ExecEnd.TIMEOUT


async def test_a_node_that_is_killed_costs_no_verdict(
    head: Any, add_node: Callable[[], Any], tmp_path: Path, gated: Gated
) -> None:
    doomed = add_node()
    late: list[LateVerdict] = []
    async with opened(write_task(tmp_path / "task"), late) as (pool, _):
        running = asyncio.create_task(pool.evaluate(gated.job))
        await gated.start()
        add_node()
        await asyncio.to_thread(head.remove_node, doomed, allow_graceful=False)
        await gated.start()
        gated.open()
        verdict = await asyncio.wait_for(running, 60)
    assert (verdict.status, verdict.score) == (Status.SCORED, 7.0)
    assert late == []


async def test_a_late_answer_is_kept_and_changes_nothing(
    add_node: Callable[[], Any], tmp_path: Path, gated: Gated
) -> None:
    add_node()
    add_node()
    late: list[LateVerdict] = []
    async with opened(write_task(tmp_path / "task"), late) as (pool, evaluator):
        running = asyncio.create_task(pool.evaluate(gated.job))
        await gated.start()
        (site,) = evaluator.sites
        worker = int(site.rpartition(":")[2])
        os.kill(worker, signal.SIGSTOP)
        try:
            await gated.start()
            gated.open()
            verdict = await asyncio.wait_for(running, 60)
            assert late == []
        finally:
            os.kill(worker, signal.SIGCONT)
        async with asyncio.timeout(30):
            while not late:
                await asyncio.sleep(0.05)
    assert (verdict.status, verdict.score) == (Status.SCORED, 7.0)
    assert [(each.attempt, each.site, each.verdict.score) for each in late] == [
        (gated.job.attempt, site, 7.0)
    ]


async def test_what_is_cancelled_ends_on_its_node(
    add_node: Callable[[], Any], tmp_path: Path, gated: Gated
) -> None:
    add_node()
    async with opened(write_task(tmp_path / "task")) as (pool, _):
        running = asyncio.create_task(pool.evaluate(gated.job))
        candidate = await gated.start()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        verdict = await asyncio.wait_for(pool.evaluate(job(ANSWER % 3)), 60)
        assert verdict.score == 3.0
        async with asyncio.timeout(10):
            while candidate in gated.running():
                await asyncio.sleep(0.05)


async def test_no_verdict_by_the_deadline(
    add_node: Callable[[], Any], tmp_path: Path, gated: Gated
) -> None:
    add_node()
    async with opened(write_task(tmp_path / "task"), deadline_s=1.5) as (pool, _):
        running = asyncio.create_task(pool.evaluate(gated.job))
        for _ in range(3):
            await gated.start()
        verdict = await asyncio.wait_for(running, 60)
    assert verdict.status is Status.SANDBOX_LOST
    assert not verdict.charged
    assert "no verdict within 1.5 s" in verdict.stages[0].detail
    assert gated.running() == []


async def test_no_node_has_room(head: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no node of the Ray cluster 'auto'"):
        async with opened(write_task(tmp_path / "task")):
            pass
