"""Packages that a task declares are there for candidate and judge, or their lack is told."""

from pathlib import Path

import pytest

from harness.attempt import Verdict
from harness.errors import TaskError
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.open import open_evaluator
from harness.sandbox.config import SandboxConfig
from harness.tasks.base import Task
from harness.testing.evaluator import ANSWER, job, write_task, write_wheel

JUDGE = """
import harness_probe
def judge(outputs, private, seed):
    return {"score": harness_probe.VALUE}
"""


async def scored(task: Task, source: str, provider: str) -> Verdict:
    async with open_evaluator(task, SandboxConfig(provider=provider), EvaluatorConfig()) as opened:
        return await opened.pool.evaluate(job(source))


@pytest.mark.slow
@pytest.mark.parametrize(
    "provider", ["process", pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)]
)
async def test_built_environments_serve_both_phases(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    wheel = write_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    task = write_task(tmp_path / "task", judge=JUDGE, python=["harness-probe==1.0"])
    assert pytestconfig.cache is not None
    # Kept between test runs. Not below /tmp, where sandboxes have their own.
    monkeypatch.setenv("HARNESS_CACHE", str(pytestconfig.cache.mkdir("task-environments")))
    verdict = await scored(task, "import harness_probe\n" + ANSWER % 1, provider)
    assert verdict.score == 42.0, verdict


@pytest.mark.docker
async def test_the_image_is_asked(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task", python=["numpy>=1"])
    assert (await scored(task, "import numpy\n" + ANSWER % 1, "docker")).score == 1.0
    lacking = write_task(tmp_path / "lacking", python=["numpy>=1", "no-such-package-here"])
    with pytest.raises(TaskError) as caught:
        await scored(lacking, "", "docker")
    assert "lacks 'no-such-package-here'" in caught.value.wrong
