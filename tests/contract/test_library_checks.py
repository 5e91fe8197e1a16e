"""Every task of the library passes `task check`: seed, cheats and honest examples, for real."""

import pytest

from harness.attempt import Status
from harness.evaluators.check import check_task
from harness.evaluators.config import EvaluatorConfig
from harness.sandbox.config import SandboxConfig
from harness.tasks.loader import library, load_task

WITHOUT_GPU = [name for name in sorted(library()) if not load_task(name).file.limits.gpus]
"""Those that need one are in tests/gpu."""


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_GPU)
async def test_library_task(name: str) -> None:
    report = await check_task(
        load_task(name), SandboxConfig(provider="process"), EvaluatorConfig(slots=2)
    )
    assert report.problems == ()
    assert report.warnings == ()
    assert report.seed.status is Status.SCORED
    assert {case.kind for case in report.cases} == {"cheats", "honest"}
