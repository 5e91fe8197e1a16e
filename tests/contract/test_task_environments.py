"""Packages that a task declares are there for candidate and judge, or their lack is told."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.attempt import Verdict
from harness.errors import TaskError
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.environments import prepare_environments
from harness.evaluators.open import open_evaluator
from harness.sandbox.base import Mount, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.providers import open_provider
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


PLACE = "python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))'"
SETUP = (f"echo 'VALUE = 7' > $({PLACE})/set_up.py", "test -f judge.py")
SET_UP_JUDGE = """
import harness_probe, set_up
def judge(outputs, private, seed):
    return {"score": harness_probe.VALUE + set_up.VALUE}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "provider",
    [
        "process",
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
        pytest.param("docker", marks=pytest.mark.docker),
    ],
)
async def test_the_evaluators_set_up_is_not_the_agents(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    wheel = write_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    assert pytestconfig.cache is not None
    monkeypatch.setenv("HARNESS_CACHE", str(pytestconfig.cache.mkdir("task-environments")))
    python = ["harness-probe==1.0"]
    task = write_task(tmp_path / "task", judge=SET_UP_JUDGE, python=python, setup=SETUP)
    config = SandboxConfig(provider=provider)
    with ThreadPoolExecutor(4) as executor:
        opened, capabilities = await open_provider(config, executor)
        try:
            found = await prepare_environments(task, opened, capabilities, config, executor)
            for environment, expected in ((found.agents, 1), (found.evaluator, 0)):
                (work := tmp_path / f"work-{expected}").mkdir(mode=0o755)
                sandbox = await opened.create(
                    SandboxSpec(
                        "agent",
                        (Mount(work, "/work", read_only=False),),
                        image=environment.image,
                        python=environment.python,
                    )
                )
                try:
                    ended = await sandbox.exec(
                        ["python", "-c", "import harness_probe, set_up"], timeout_s=60
                    )
                finally:
                    await sandbox.close()
                assert ended.exit_code == expected, ended.stderr
        finally:
            await opened.close()
    verdict = await scored(task, ANSWER % 1, provider)
    assert verdict.score == 49.0, verdict


@pytest.mark.docker
async def test_what_an_image_cannot_be_given_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    lacking = write_task(tmp_path / "lacking", python=["numpy>=1", "no-such-package-here"])
    with pytest.raises(TaskError) as caught:
        await scored(lacking, "", "docker")
    assert "No matching distribution found for no-such-package-here" in caught.value.wrong


@pytest.mark.slow
async def test_a_set_up_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    task = write_task(tmp_path / "task", setup=["echo no licence >&2; exit 3"])
    with pytest.raises(TaskError, match="no licence"):
        await scored(task, "", "process")
