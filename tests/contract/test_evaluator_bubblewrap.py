"""The evaluators keep their contracts on bubblewrap."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.evaluators.context import EvaluatorContext
from harness.evaluators.kinds import make_evaluator
from harness.sandbox.base import Limits
from harness.sandbox.bubblewrap import BubblewrapProvider
from harness.sandbox.config import SandboxConfig
from harness.testing.evaluator import EvaluatorContract
from harness.testing.evaluator_suite import OpenEvaluator
from harness.testing.one_phase import OnePhaseContract
from harness.testing.repository import RepositoryContract
from harness.testing.serve import ServeContract

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]


class OnBubblewrap:
    @pytest.fixture
    async def open_evaluator(self) -> AsyncIterator[OpenEvaluator]:
        with TemporaryDirectory() as folder, ThreadPoolExecutor(8) as executor:
            scratch = Path(folder)
            scratch.chmod(0o711)
            provider = BubblewrapProvider(SandboxConfig(provider="bubblewrap"), executor)
            yield lambda task: make_evaluator(
                EvaluatorContext(task, provider, Limits(), None, scratch, executor, {})
            )
            await provider.close()
            assert list(scratch.iterdir()) == []


class TestEvaluatorOnBubblewrap(OnBubblewrap, EvaluatorContract):
    """Of the kind `answer`."""


class TestServeOnBubblewrap(OnBubblewrap, ServeContract):
    """Of the kind `serve`."""


class TestRepositoryOnBubblewrap(OnBubblewrap, RepositoryContract):
    """Of the kind `repository`."""


class TestOnePhaseOnBubblewrap(OnBubblewrap, OnePhaseContract):
    """Of the kind `one_phase`."""
