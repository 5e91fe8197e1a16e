"""What the contract suites of all kinds of evaluator have in common."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.attempt import Verdict
from harness.evaluators.base import EvaluationJob, Evaluator
from harness.tasks.base import Task

OpenEvaluator = Callable[[Task], Evaluator]


class EvaluatorSuite:
    """One subclass for each kind; of it, one for each evaluator or provider."""

    write: ClassVar["staticmethod[..., Task]"]
    """Writes a task of the kind into a folder; keywords override keys of its evaluator."""
    submit: ClassVar["staticmethod[..., EvaluationJob]"]
    """A submission whose program is the given source."""

    @pytest.fixture
    def open_evaluator(self) -> OpenEvaluator:
        # Pytest calls fixtures only as it needs them, so nothing else would tell who forgot this.
        pytest.fail("override the fixture `open_evaluator`")

    @asynccontextmanager
    async def evaluator(
        self, open_evaluator: OpenEvaluator, folder: Path, **task: Any
    ) -> AsyncGenerator[Evaluator]:
        """An evaluator of a task in `folder`; it is closed at the end."""
        opened = open_evaluator(self.write(folder / "task", **task))
        try:
            yield opened
        finally:
            await opened.close()

    async def verdict(
        self, open_evaluator: OpenEvaluator, folder: Path, source: str, **task: Any
    ) -> Verdict:
        """What becomes of one submission."""
        async with self.evaluator(open_evaluator, folder, **task) as evaluator:
            return await evaluator.evaluate(self.submit(source))
