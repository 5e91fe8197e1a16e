"""What must become of submissions to tasks in the formats of other tools, checked for real.

Subclass `ForeignContract` and override the fixture `open_evaluator` as for `EvaluatorContract`.
"""

from pathlib import Path

import pytest
from tests.foreign.cases import ENDS
from tests.foreign.example import SEED_SCORES, Case, copied, job
from tests.foreign.forgeries import FORGERIES

from harness.attempt import Status, Verdict
from harness.tasks.loader import load_task
from harness.testing.evaluator_suite import OpenEvaluator


class ForeignBasics:
    """Each example scores, and no example is taken in by a simple forgery."""

    @pytest.fixture
    def open_evaluator(self) -> OpenEvaluator:
        pytest.fail("override the fixture `open_evaluator`")

    @pytest.fixture(autouse=True)
    def _own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))

    async def verdict(self, open_evaluator: OpenEvaluator, folder: Path, case: Case) -> Verdict:
        """Of the case's submission."""
        task = load_task(copied(case.task, folder, case.task_files))
        evaluator = open_evaluator(task)
        try:
            return await evaluator.evaluate(job(task, case.files))
        finally:
            await evaluator.close()

    async def check(self, open_evaluator: OpenEvaluator, folder: Path, case: Case) -> None:
        """The verdict is the one that the case tells."""
        verdict = await self.verdict(open_evaluator, folder, case)
        assert (verdict.status, verdict.score) == (case.status, case.score), verdict
        if case.status is Status.EVALUATOR_ERROR:
            told = verdict.stages[-1].detail
            assert "not the fault of the submission" in verdict.feedback
        else:
            told = verdict.feedback
        for word in case.words:
            assert word in told, told
        assert verdict.metrics.items() >= case.metrics.items(), verdict.metrics

    @pytest.mark.parametrize("name", SEED_SCORES)
    async def test_scored_as_it_is(
        self, open_evaluator: OpenEvaluator, tmp_path: Path, name: str
    ) -> None:
        case = Case("seed", name, Status.SCORED, score=SEED_SCORES[name])
        verdict = await self.verdict(open_evaluator, tmp_path, case)
        assert (verdict.status, verdict.score) == (Status.SCORED, SEED_SCORES[name]), verdict
        assert [stage.name for stage in verdict.stages] == ["in_process"]
        assert "shared a process" in verdict.stages[0].detail

    @pytest.mark.parametrize("case", FORGERIES, ids=lambda case: f"{case.task}-{case.about}")
    async def test_forgeries(
        self, open_evaluator: OpenEvaluator, tmp_path: Path, case: Case
    ) -> None:
        await self.check(open_evaluator, tmp_path, case)


class ForeignContract(ForeignBasics):
    """The whole contract."""

    @pytest.mark.slow
    @pytest.mark.parametrize("case", ENDS, ids=lambda case: f"{case.task}-{case.about}")
    async def test_ends(self, open_evaluator: OpenEvaluator, tmp_path: Path, case: Case) -> None:
        await self.check(open_evaluator, tmp_path, case)
