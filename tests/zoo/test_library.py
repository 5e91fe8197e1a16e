"""The cheats that ship with the library's tasks, each with its honest twins."""

import pytest
from tests.zoo.conftest import SANDBOXES

from harness.attempt import Status
from harness.evaluators.check import check_task
from harness.evaluators.config import EvaluatorConfig
from harness.sandbox.config import SandboxConfig
from harness.tasks.loader import library, load_task

TASKS = sorted(name for name in library() if not load_task(name).file.limits.gpus)


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.parametrize("name", TASKS)
async def test_library(name: str, sandbox: str, results: dict[str, dict[str, str]]) -> None:
    config = SandboxConfig(provider=sandbox)
    report = await check_task(load_task(name), config, EvaluatorConfig(slots=2))
    assert report.problems == ()
    cheats = [case for case in report.cases if case.kind == "cheats"]
    honest = [case for case in report.cases if case.kind == "honest"]
    assert cheats
    assert honest
    for case in cheats:
        assert case.verdict.status is not Status.SCORED, case
        seen = results.setdefault(f"{name}/{case.name}", {})
        seen[sandbox] = case.verdict.status.value
    assert all(case.verdict.status is Status.SCORED for case in honest)
