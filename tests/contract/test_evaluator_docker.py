"""The evaluators keep their contracts on Docker."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from docker.models.containers import Container
from tests.contract.prestarted import PrestartedChecks

from harness.evaluators.context import EvaluatorContext
from harness.evaluators.kinds import make_evaluator
from harness.sandbox.base import Limits
from harness.sandbox.config import SandboxConfig
from harness.sandbox.docker import OWNER_LABEL, SANDBOX_LABEL, DockerProvider
from harness.sandbox.docker_client import connect
from harness.sandbox.liveness import identity
from harness.testing.evaluator import ANSWER, EvaluatorContract, job, write_task
from harness.testing.evaluator_suite import OpenEvaluator
from harness.testing.one_phase import OnePhaseContract
from harness.testing.repository import RepositoryContract
from harness.testing.serve import ServeContract

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def own_containers() -> list[Container]:
    """Those that this process has made."""
    client = connect()
    try:
        return client.containers.list(all=True, filters={"label": f"{OWNER_LABEL}={identity()}"})
    finally:
        client.close()


class OnDocker:
    prestart = 0

    @pytest.fixture
    async def open_evaluator(self) -> AsyncIterator[OpenEvaluator]:
        with TemporaryDirectory() as folder, ThreadPoolExecutor(8) as executor:
            scratch = Path(folder)
            scratch.chmod(0o711)
            provider = DockerProvider(SandboxConfig(provider="docker"), executor)
            yield lambda task: make_evaluator(
                EvaluatorContext(
                    task, provider, Limits(), None, scratch, executor, {}, prestart=self.prestart
                )
            )
            await provider.close()
            assert list(scratch.iterdir()) == []
            assert own_containers() == []


class TestEvaluatorOnDocker(OnDocker, EvaluatorContract):
    """Of the kind `answer`."""


class TestServeOnDocker(OnDocker, ServeContract):
    """Of the kind `serve`."""


class TestRepositoryOnDocker(OnDocker, RepositoryContract):
    """Of the kind `repository`."""


class TestOnePhaseOnDocker(OnDocker, OnePhaseContract):
    """Of the kind `one_phase`."""


class TestPrestartedOnDocker(OnDocker, PrestartedChecks):
    """With sandboxes that are started ahead."""

    prestart = 2

    async def test_those_that_are_gone_are_replaced(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        evaluator = open_evaluator(write_task(tmp_path / "task"))
        try:
            assert (await evaluator.evaluate(job(ANSWER % 1))).score == 1.0
            await asyncio.sleep(2)
            ready = [each for each in own_containers() if each.labels[SANDBOX_LABEL] == "produce"]
            assert len(ready) == 2
            for container in ready:
                container.remove(force=True)
            assert (await evaluator.evaluate(job(ANSWER % 2))).score == 2.0
        finally:
            await evaluator.close()
