"""Where verdicts are kept, and where they are not."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from harness.errors import ConfigurationError
from harness.evaluators.cache import CachedEvaluator, cached
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.kinds import make_evaluator
from harness.sandbox.base import Capabilities, Guarantee, Limits
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.evaluator import ANSWER, job, write_task

OPEN = Capabilities("process", False, (), (Guarantee.HOST_FILES,), "")
SAFE = replace(OPEN, enforced=(Guarantee.HOST_FILES,), not_enforced=())


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[EvaluatorContext]:
    with TemporaryDirectory() as folder, ThreadPoolExecutor(4) as executor:
        Path(folder).chmod(0o711)
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        task = write_task(tmp_path / "task")
        yield EvaluatorContext(task, provider, Limits(), None, Path(folder), executor, {})
        await provider.close()


async def test_not_where_candidates_could_write_it(
    context: EvaluatorContext, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="does not keep candidates from it"):
        await cached(make_evaluator(context), context, OPEN, tmp_path / "kept")


@pytest.mark.parametrize("keys", [{"evaluator": {"noise": 0.1}}, {"limits": {"exclusive": True}}])
async def test_not_where_a_second_look_may_differ(
    context: EvaluatorContext, tmp_path: Path, keys: dict[str, Any]
) -> None:
    file = context.task.file
    for section, values in keys.items():
        changed = getattr(file, section).model_copy(update=values)
        file = file.model_copy(update={section: changed})
    context = replace(context, task=replace(context.task, file=file))
    evaluator = make_evaluator(context)
    assert await cached(evaluator, context, SAFE, tmp_path / "kept") is evaluator
    await evaluator.close()


async def test_what_makes_a_verdict_another(context: EvaluatorContext, tmp_path: Path) -> None:
    evaluator = await cached(make_evaluator(context), context, SAFE, tmp_path / "kept")
    assert isinstance(evaluator, CachedEvaluator)
    first = await evaluator.evaluate(job(ANSWER % 1))
    same = await evaluator.evaluate(job(ANSWER % 1))
    assert (same.stages[0].name, same.score) == ("cached", first.score)
    others = [
        await evaluator.evaluate(each)
        for each in (job(ANSWER % 2), job(ANSWER % 1, {"more": ""}), job(ANSWER % 1, seed=1))
    ]
    await evaluator.close()
    limits = Limits(memory_bytes=2**30, scratch_bytes=2**25)
    other = replace(context, limits=limits)
    changed = await cached(make_evaluator(other), other, SAFE, tmp_path / "kept")
    others.append(await changed.evaluate(job(ANSWER % 1)))
    await changed.close()
    assert all(each.stages[0].name == "produce" for each in others)


async def test_limits_reached_are_not_kept(context: EvaluatorContext, tmp_path: Path) -> None:
    evaluator = await cached(make_evaluator(context), context, SAFE, tmp_path / "kept")
    for _ in range(2):
        verdict = await evaluator.evaluate(job("while True: print('x' * 10**6)"))
        assert verdict.stages[0].name == "produce"
    await evaluator.close()
