"""The evaluators keep their contracts on the process sandbox."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.contract.prestarted import PrestartedChecks

from harness.evaluators.context import EvaluatorContext
from harness.evaluators.kinds import make_evaluator
from harness.sandbox.base import Limits
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.evaluator import EvaluatorContract
from harness.testing.evaluator_suite import OpenEvaluator
from harness.testing.one_phase import OnePhaseContract
from harness.testing.repository import RepositoryContract
from harness.testing.serve import ServeContract


class OnProcesses:
    prestart = 0

    @pytest.fixture
    async def open_evaluator(self) -> AsyncIterator[OpenEvaluator]:
        # Not pytest's folder, which other users cannot reach.
        with TemporaryDirectory() as folder, ThreadPoolExecutor(8) as executor:
            scratch = Path(folder)
            scratch.chmod(0o711)
            provider = ProcessProvider(SandboxConfig(provider="process"), executor)
            yield lambda task: make_evaluator(
                EvaluatorContext(
                    task, provider, Limits(), None, scratch, executor, {}, prestart=self.prestart
                )
            )
            await provider.close()
            assert list(scratch.iterdir()) == []


class TestEvaluatorOnProcesses(OnProcesses, EvaluatorContract):
    """Of the kind `answer`."""


class TestServeOnProcesses(OnProcesses, ServeContract):
    """Of the kind `serve`."""


class TestRepositoryOnProcesses(OnProcesses, RepositoryContract):
    """Of the kind `repository`."""


class TestOnePhaseOnProcesses(OnProcesses, OnePhaseContract):
    """Of the kind `one_phase`."""


class TestPrestartedOnProcesses(OnProcesses, PrestartedChecks):
    """With sandboxes that are started ahead."""

    prestart = 2
