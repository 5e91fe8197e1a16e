"""`harness_timing` with programs whose time is known: they sleep."""

import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.attempt import Status, Verdict
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.kinds import make_evaluator
from harness.sandbox.base import Limits
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.evaluator_suite import OpenEvaluator
from harness.testing.serve_tasks import served, write_serve_task

pytestmark = pytest.mark.slow

JUDGE = """
import harness_timing as timing
import numpy as np

def check(rng, arguments, value):
    x, = arguments
    return timing.array_problem(value, "float32", x.shape) or timing.close_problem(
        value, x.astype(float) * 2, np.abs(x), roundings=2)

def judge(candidate, private, seed):
    return timing.compare(candidate, timing.Kernel(
        "double",
        draw=lambda rng: int(rng.integers(100, 1000)),
        make=lambda rng, size: [rng.normal(size=size).astype("float32")],
        check=check,
        floor_s=lambda size: FLOOR,
        sizes=2, rounds=2, max_rounds=3, held=HELD))
"""

SLEEPER = """
import time
def double(x):
    time.sleep(%s)
    return x + x
"""
NULL = "def null(x):\n    return x\n"
CHEAP = 0.01
DEAR = 0.05


@pytest.fixture
async def open_evaluator() -> AsyncIterator[OpenEvaluator]:
    with TemporaryDirectory() as folder, ThreadPoolExecutor(4) as executor:
        scratch = Path(folder)
        scratch.chmod(0o711)
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        yield lambda task: make_evaluator(
            EvaluatorContext(task, provider, Limits(), None, scratch, executor, {})
        )
        await provider.close()


async def measured(
    open_evaluator: OpenEvaluator,
    folder: Path,
    candidate: str,
    *,
    baseline: str = SLEEPER % DEAR + NULL,
    floor: float = 0.0,
    held: bool = False,
) -> Verdict:
    judge = JUDGE.replace("FLOOR", str(floor)).replace("HELD", str(held))
    evaluator = open_evaluator(write_serve_task(folder / "task", judge=judge, baseline=baseline))
    try:
        return await evaluator.evaluate(served(candidate))
    finally:
        await evaluator.close()


@pytest.mark.parametrize("held", [False, True])
async def test_the_score_is_the_ratio_of_times(
    open_evaluator: OpenEvaluator, tmp_path: Path, held: bool
) -> None:
    verdict = await measured(open_evaluator, tmp_path, SLEEPER % CHEAP, held=held)
    assert verdict.score is not None, verdict
    # Sleeping takes longer than asked, never less.
    assert 2.5 < verdict.score <= 1.05 * DEAR / CHEAP
    assert verdict.metrics["candidate_ms"] + verdict.metrics["overhead_ms"] >= 2e3 * CHEAP
    assert set(verdict.metrics) == {"baseline_ms", "candidate_ms", "overhead_ms", "noise"}
    json.dumps(dict(verdict.metrics), allow_nan=False)


async def test_faster_than_possible_is_an_alarm(
    open_evaluator: OpenEvaluator, tmp_path: Path
) -> None:
    verdict = await measured(open_evaluator, tmp_path, SLEEPER % CHEAP, floor=0.04)
    assert (verdict.status, verdict.score) == (Status.INVALID, None)
    assert "alarm" in verdict.feedback


async def test_no_time_at_all_counts_as_what_can_be_told(
    open_evaluator: OpenEvaluator, tmp_path: Path
) -> None:
    """Without a floor a candidate that takes nothing scores the resolution, not infinity."""
    verdict = await measured(open_evaluator, tmp_path, "def double(x): return x + x\n")
    if verdict.score is None:  # or less than nothing, by a hair: an alarm as well
        assert "alarm" in verdict.feedback
    else:
        assert 5 < verdict.score < 1e5


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("x", "are wrong"),
        ("x + x * 1.00001", "are wrong"),
        ("(x + x).astype('float64')", "float64"),
        ("(x + x)[:-1]", "was returned, not"),
        ("list(x + x)", "a list was returned"),
        ("x / 0", "not finite"),
    ],
)
async def test_wrong_values(
    open_evaluator: OpenEvaluator, tmp_path: Path, value: str, told: str
) -> None:
    source = f"def double(x):\n    return {value}\n"
    verdict = await measured(open_evaluator, tmp_path, source)
    assert (verdict.status, verdict.score) == (Status.INVALID, None)
    assert told in verdict.feedback


async def test_a_value_that_goes_wrong_later(open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
    source = "n = 0\ndef double(x):\n    global n\n    n += 1\n    return x + x * (n < 5)\n"
    verdict = await measured(open_evaluator, tmp_path, source)
    assert verdict.status is Status.INVALID


@pytest.mark.parametrize(
    ("baseline", "told"),
    [
        (SLEEPER % CHEAP, "AttributeError"),
        ("def double(x): return x\n" + NULL, "BaselineError: the baseline at size"),
        ("def double(x): return x + x\n" + NULL, "too little to measure"),
    ],
)
async def test_a_baseline_that_is_no_measure(
    open_evaluator: OpenEvaluator, tmp_path: Path, baseline: str, told: str
) -> None:
    verdict = await measured(
        open_evaluator, tmp_path, SLEEPER % CHEAP, baseline=baseline, floor=0.005
    )
    assert verdict.status is Status.EVALUATOR_ERROR
    assert told in verdict.stages[-1].detail


async def test_slowing_the_baseline_down_does_not_help(
    open_evaluator: OpenEvaluator, tmp_path: Path
) -> None:
    """It is measured before the candidate has started, and while the candidate stands still."""
    busy = "def double(x):\n    for _ in range(10**6): pass\n    return x + x\n"
    hog = (
        "import multiprocessing\n"
        "def burn():\n    while True: pass\n"
        "for _ in range(16):\n"
        "    multiprocessing.Process(target=burn, daemon=True).start()\n"
    )
    verdict = await measured(open_evaluator, tmp_path, hog + busy, baseline=busy + NULL)
    assert verdict.score is None or verdict.score < 1.5
