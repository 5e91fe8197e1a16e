"""Sandboxes that fail: retried within bounds, never blamed on the candidate."""

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.attempt import NOT_CHARGED, Status
from harness.errors import SandboxUnavailableError
from harness.evaluators.answer import AnswerEvaluator
from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.rounds import RETRIES
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.base import Limits, Purpose, Sandbox, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.tasks.evaluation import AnswerSpec
from harness.testing.evaluator import ANSWER, job, write_task


class Unreliable(ProcessProvider):
    """Real processes; the first `failures` sandboxes of a purpose cannot be made."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        super().__init__(SandboxConfig(provider="process"), executor)
        self.failures: dict[Purpose, int] = {"produce": 0, "judge": 0}
        self.specs: list[SandboxSpec] = []
        self.made: list[Sandbox] = []

    async def create(self, spec: SandboxSpec) -> Sandbox:
        self.specs.append(spec)
        if self.failures[spec.purpose] > 0:
            self.failures[spec.purpose] -= 1
            raise SandboxUnavailableError("the daemon does not answer")
        self.made.append(await super().create(spec))
        return self.made[-1]


@pytest.fixture
async def provider() -> AsyncGenerator[Unreliable]:
    with ThreadPoolExecutor(4) as executor:
        yield Unreliable(executor)


@pytest.fixture
async def evaluator(provider: Unreliable, tmp_path: Path) -> AsyncGenerator[AnswerEvaluator]:
    with TemporaryDirectory() as folder, ThreadPoolExecutor(4) as executor:
        Path(folder).chmod(0o711)
        scratch = Path(folder) / "scratch"
        task = write_task(tmp_path / "task")
        labels = {"harness.run": "r1"}
        context = EvaluatorContext(task, provider, Limits(), None, scratch, executor, labels)
        assert isinstance(task.file.evaluator, AnswerSpec)
        opened = AnswerEvaluator(context, task.file.evaluator)
        yield opened
        await opened.close()
        assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("purpose", ["produce", "judge"])
async def test_a_sandbox_that_fails_for_a_while(
    provider: Unreliable, evaluator: AnswerEvaluator, purpose: Purpose
) -> None:
    provider.failures[purpose] = RETRIES
    verdict = await evaluator.evaluate(job(ANSWER % 2))
    assert verdict.score == 2.0


@pytest.mark.parametrize(("purpose", "stages"), [("produce", 1), ("judge", 2)])
async def test_a_sandbox_that_is_gone(
    provider: Unreliable, evaluator: AnswerEvaluator, purpose: Purpose, stages: int
) -> None:
    provider.failures[purpose] = RETRIES + 1
    verdict = await evaluator.evaluate(job(ANSWER % 2))
    assert verdict.status is Status.SANDBOX_LOST
    assert verdict.status in NOT_CHARGED
    assert len(verdict.stages) == stages
    assert "the daemon does not answer" in verdict.stages[-1].detail
    assert (await evaluator.evaluate(job(ANSWER % 3))).score == 3.0


async def test_a_judges_sandbox_that_dies_is_made_anew(
    provider: Unreliable, evaluator: AnswerEvaluator
) -> None:
    await evaluator.evaluate(job(ANSWER % 2))
    judges = [spec for spec in provider.specs if spec.purpose == "judge"]
    assert len(judges) == 1
    index = [spec.purpose for spec in provider.specs].index("judge")
    await provider.made[index].close()
    assert (await evaluator.evaluate(job(ANSWER % 3))).score == 3.0


async def test_what_sandboxes_are_given(provider: Unreliable, evaluator: AnswerEvaluator) -> None:
    attempt = EvaluationJob(
        AttemptId("4"), job(ANSWER % 1).submission, labels={"harness.attempt": "4"}
    )
    await evaluator.evaluate(attempt)
    produce, judge = provider.specs
    assert [mount.target for mount in produce.mounts] == ["/work"]
    assert dict(produce.labels) == {"harness.run": "r1", "harness.attempt": "4"}
    assert (produce.network, dict(produce.env), produce.gpus) == ("none", {}, ())
    assert (produce.limits.pids, produce.limits.memory_bytes) == (64, 512 * 1024**2)
    assert {mount.target: mount.read_only for mount in judge.mounts} == dict.fromkeys(
        ("/runner", "/evaluator", "/private", "/outputs"), True
    )
    assert judge.network == "none"


async def test_a_submission_that_cannot_be_written(evaluator: AnswerEvaluator) -> None:
    class Full(FilesSubmission):
        def write_to(self, folder: Path) -> None:
            raise OSError(28, "No space left on device")

    verdict = await evaluator.evaluate(EvaluationJob(AttemptId("1"), Full({})))
    assert verdict.status is Status.SANDBOX_LOST
    assert "No space left" in verdict.stages[0].detail


async def test_the_evaluators_files_are_those_of_the_start(
    evaluator: AnswerEvaluator, tmp_path: Path
) -> None:
    await evaluator.evaluate(job(ANSWER % 1))
    (tmp_path / "task" / "evaluator" / "judge.py").write_text("nonsense", encoding="utf-8")
    assert (await evaluator.evaluate(job(ANSWER % 6))).score == 6.0
