"""Runs an OpenEvolve evaluator; loaded by `one_phase.py`, without the harness.

As there: the evaluator is imported as `evaluation_module` with its folder first on the path, and is
given a file of its own whose name can be imported; stages go on while they reach their threshold,
and their metrics and artifacts are merged, later ones winning; without `combined_score` the fitness
is the mean of the numbers. Otherwise than there `async def evaluate` is awaited, and what raises is
a failure with its reason, no score of zero.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from numbers import Real
from pathlib import Path
from types import FrameType, ModuleType

from harness_numbers import is_a, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HERE = Path(__file__).resolve().parent
OPTIONS = json.loads((HERE / "harness_options.json").read_text(encoding="utf-8"))
TASK = HERE / "task"
MAX_ARTIFACTS = 20_000
STAGES = ("evaluate_stage1", "evaluate_stage2", "evaluate_stage3")


class StageTimeoutError(BaseException):
    """A stage took too long. No `Exception`: evaluators like to catch those."""


def load() -> ModuleType:
    """Import the evaluator.

    Raises:
        AttributeError: It has no function that could be called.
    """
    file = TASK / OPTIONS["evaluator"]
    sys.path.insert(0, str(file.parent))
    # Behind everything: where the real package is installed, that is what is imported.
    sys.path.append(str(HERE / "shims"))
    spec = importlib.util.spec_from_file_location("evaluation_module", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["evaluation_module"] = module
    spec.loader.exec_module(module)
    if not any(hasattr(module, name) for name in ("evaluate", STAGES[0])):
        raise AttributeError(f"{file.name} has no function evaluate(program_path)")
    return module


MODULE = load()


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Those of the metrics that are finite numbers."""
    found = {str(name): number(value) for name, value in metrics.items()}
    return {name: value for name, value in found.items() if value is not None}


def fitness(metrics: dict[str, Any], leave_out: tuple[str, ...] = ()) -> float:
    """`combined_score`, else the mean of the other numbers.

    Raises:
        TypeError: `combined_score` is not a number, or there is no number at all.
    """
    if "combined_score" in metrics:
        score: Any = metrics["combined_score"]
        if not is_a(Real, score) or is_a(bool, score):
            raise TypeError(f"'combined_score' is {score!r:.80}, not a number")
        return float(score)
    values = [value for name, value in numbers(metrics).items() if name not in leave_out]
    if not values:
        raise TypeError(f"there is no number among the metrics {sorted(map(str, metrics))}")
    return sum(values) / len(values)


def call(name: str, program: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics and artifacts of one function of the evaluator's, within the time it has.

    Raises:
        StageTimeoutError: It took too long.
        TypeError: It returned something else.
    """
    alarms: list[int] = []

    def ring(number: int, frame: FrameType | None) -> None:
        alarms.append(number)
        raise StageTimeoutError

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, OPTIONS["timeout_s"])
    try:
        result: Any = getattr(MODULE, name)(program)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if alarms:  # with a bare `except` the evaluator caught it
        raise StageTimeoutError
    artifacts: Any = {}
    if not is_a(dict, result):
        artifacts = getattr(result, "artifacts", None) or {}
        metrics = getattr(result, "metrics", None)
        if not is_a(dict, metrics):
            raise TypeError(
                f"{name} returned {result!r:.80} ({type(result).__name__}): a dictionary of "
                "metrics or an EvaluationResult is expected"
            )
        result = metrics
    return dict(result), dict(artifacts)


def staged(program: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The stages' metrics and artifacts, merged."""
    metrics, artifacts = call(STAGES[0], program)
    for index, name in enumerate(STAGES[1:]):
        thresholds = OPTIONS["thresholds"]
        needed = thresholds[index] if index < len(thresholds) else 0.0
        reached = fitness({key: value for key, value in metrics.items() if key != "error"})
        if reached < needed:
            artifacts[STAGES[index]] = f"reached {reached:g}, {needed:g} are needed to go on"
            break
        if not hasattr(MODULE, name):
            break
        try:
            more, beside = call(name, program)
        except Exception:
            # As the original: what the stages before found out counts.
            metrics[f"stage{index + 2}_passed"] = 0.0
            artifacts |= {"failure_stage": name, "traceback": traceback.format_exc()}
            break
        metrics |= more
        artifacts |= beside
    return metrics, artifacts


def told(metrics: dict[str, Any], artifacts: dict[str, Any]) -> str:
    """What the evaluator says beside numbers."""
    parts = [f"{name}: {value}" for name, value in metrics.items() if isinstance(value, str)]
    for name, value in artifacts.items():
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        parts.append(f"{name}: {text}")
    text = "\n".join(parts)
    return text if len(text) <= MAX_ARTIFACTS else text[:MAX_ARTIFACTS] + "\n[…]"


def judge(submission: Path, private: Path, seed: int) -> dict[str, Any]:
    """Score the submitted program.

    Raises:
        TimeoutError: The evaluator took too long.
        TypeError: It returned something that is no result.
    """
    source = submission / OPTIONS["program"]
    folder = Path(tempfile.mkdtemp(prefix="candidate-"))
    name = f"candidate_{os.urandom(6).hex()}"
    program = shutil.copyfile(source, folder / f"{name}{source.suffix}")
    try:
        if OPTIONS["cascade"] and hasattr(MODULE, STAGES[0]):
            metrics, artifacts = staged(str(program))
        else:
            metrics, artifacts = call("evaluate", str(program))
    except StageTimeoutError:
        raise TimeoutError(f"the evaluator took longer than {OPTIONS['timeout_s']:g} s") from None
    features: Any = OPTIONS["features"]
    leave_out = tuple(map(str, features)) if is_a(list, features) else ()
    return {
        "score": fitness(metrics, leave_out),
        "metrics": {k: v for k, v in numbers(metrics).items() if k != "combined_score"},
        "feedback": told(metrics, artifacts),
    }
