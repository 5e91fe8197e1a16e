"""On a real Ray cluster of two nodes on this machine: the same verdicts, and what goes wrong."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from harness.attempt import Status, Verdict
from harness.errors import ConfigurationError
from harness.evaluators.base import EvaluationJob, LateVerdict
from harness.evaluators.cluster import evaluator as cluster
from harness.evaluators.cluster.connect import leave
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
    made = Cluster(initialize_head=True, head_node_args=node)
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
    task: Task, late: list[LateVerdict] | None = None, **config: Any
) -> AsyncGenerator[tuple[EvaluatorPool, RayEvaluator]]:
    ray = {"silence_s": SILENCE_S}
    chosen = EvaluatorConfig.model_validate({"pool": "ray", "ray": ray, **config})
    sandbox = SandboxConfig(provider="process")
    told = [] if late is None else late
    with ThreadPoolExecutor(4) as executor:
        evaluator = await RayEvaluator.connect(task, sandbox, chosen, executor, told.append)
        pool = EvaluatorPool(evaluator, evaluator.slots)
        try:
            yield pool, evaluator
        finally:
            await pool.close()


class Gated:
    """A job that tells each start by a file and scores 7 once its gate is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        source = (
            "import os, pathlib, time\n"
            f"pathlib.Path({str(folder)!r}, f'{{os.getpid()}}.started').touch()\n"
            f"while not os.path.exists({str(folder / 'gate')!r}): time.sleep(0.05)\n"
        )
        self.job = job(source + ANSWER % 7)

    @property
    def started(self) -> list[int]:
        """Processes that have started."""
        return [int(path.stem) for path in self._folder.glob("*.started")]

    async def starts(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.started) < count:
                await asyncio.sleep(0.05)

    def open(self) -> None:
        (self._folder / "gate").touch()


@pytest.fixture
def gated() -> Iterator[Gated]:
    # Not pytest's folder, which other users cannot reach.
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Gated(Path(folder))


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
        await gated.starts(1)
        add_node()
        await asyncio.to_thread(head.remove_node, doomed, allow_graceful=False)
        await gated.starts(2)
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
        await gated.starts(1)
        (site,) = evaluator.sites
        worker = int(site.rpartition(":")[2])
        os.kill(worker, signal.SIGSTOP)
        try:
            await gated.starts(2)
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
        await gated.starts(1)
        (candidate,) = gated.started
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        verdict = await asyncio.wait_for(pool.evaluate(job(ANSWER % 3)), 60)
        assert verdict.score == 3.0
        async with asyncio.timeout(10):
            while Path(f"/proc/{candidate}").exists():
                await asyncio.sleep(0.05)


async def test_no_verdict_by_the_deadline(
    add_node: Callable[[], Any],
    tmp_path: Path,
    gated: Gated,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_node()
    monkeypatch.setattr(cluster, "ROOM_S", -119.5)
    async with opened(write_task(tmp_path / "task", timeout_s=60, judge_timeout_s=60)) as (pool, _):
        verdict: Verdict = await asyncio.wait_for(pool.evaluate(gated.job), 60)
    assert verdict.status is Status.SANDBOX_LOST
    assert not verdict.charged
    assert "no verdict within 1.5 s" in verdict.stages[0].detail
    assert len(gated.started) == 3


async def test_no_node_has_room(head: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no node of the Ray cluster 'auto'"):
        async with opened(write_task(tmp_path / "task")):
            pass
