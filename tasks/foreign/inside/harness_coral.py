"""Runs a CORAL grader; loaded by `one_phase.py`, without the harness.

Both layouts: `grader.entrypoint` names a class of a package, or `eval/grader.py` among the private
files has a class `Grader`. Where the environment has CORAL's own package that is used, otherwise
the modules in `shims/`. The grader's limit is kept here, so that it holds whatever the grader does.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from harness_numbers import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HERE = Path(__file__).resolve().parent
OPTIONS = json.loads((HERE / "harness_options.json").read_text(encoding="utf-8"))
os.environ["HARNESS_GUARD"] = str(HERE / "harness_guard.py")
FOUND: dict[str, Any] = {}


class LateError(BaseException):
    """The grader took too long. No `Exception`: graders like to catch those."""


def prepare(private: Path) -> None:
    """Import the grader's class.

    Raises:
        ImportError: There is no such module or class.
        TypeError: The class is no `TaskGrader`.
    """
    sys.path[:0] = [str(HERE / path) for path in OPTIONS["paths"]]
    sys.path.append(str(HERE / "shims"))
    if OPTIONS["entrypoint"]:
        module_name, name = OPTIONS["entrypoint"].split(":")
        module = importlib.import_module(module_name)
    else:
        file, name = private / "eval" / "grader.py", "Grader"
        spec = importlib.util.spec_from_file_location("task_grader", file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        sys.modules["task_grader"] = module
        spec.loader.exec_module(module)
    kind = getattr(module, name, None)
    if kind is None:
        raise ImportError(f"{module.__name__} has no class {name!r}")
    base = importlib.import_module("coral.grader.task_grader").TaskGrader
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise TypeError(f"{name} is no class that derives from TaskGrader")
    FOUND["class"] = kind


def make(private: Path) -> Any:
    """The grader, with what CORAL sets on it."""
    config = importlib.import_module("coral.config")
    known = {"entrypoint", "timeout", "args", "direction"}
    keys = {key: value for key, value in OPTIONS["grader"].items() if key in known}
    grader = FOUND["class"](config=config.GraderConfig(**keys))
    grader.private_dir = str(private)
    return grader


def told(bundle: Any) -> str:
    """Feedback, and what each part says of itself."""
    parts: dict[str, Any] = bundle.scores or {}
    texts = [str(bundle.feedback)] if bundle.feedback else []
    texts += [f"{name}: {each.explanation}" for name, each in parts.items() if each.explanation]
    return "\n".join(texts)


def numbers(bundle: Any) -> dict[str, float]:
    """The values of the parts, where there are several."""
    parts: dict[str, Any] = bundle.scores or {}
    found = {name: number(score.value) for name, score in parts.items()}
    return {name: value for name, value in found.items() if value is not None and name != "eval"}


def grade(grader: Any, submission: Path) -> Any:
    """What the grader returns.

    Raises:
        TimeoutError: Its time was over.
    """
    types = importlib.import_module("coral.types")
    about = {"budget_class": "real", "agent_id": "harness", "commit_hash": submission.name}
    name = OPTIONS["name"]
    task = types.Task(id=name, name=name, description=OPTIONS["description"], metadata=about)
    limit = OPTIONS["grader"]["timeout"]

    late = TimeoutError(f"the grader took longer than {limit:g} s")
    alarms: list[int] = []

    def ring(number: int, frame: FrameType | None) -> None:
        alarms.append(number)
        raise LateError

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit)  # 0: none
    try:
        bundle = asyncio.run(grader.grade(str(submission), [task]))
    except LateError:
        raise late from None
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"in the grader: {error}") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if alarms:  # with a bare `except` the grader caught it
        raise late
    return bundle


def judge(submission: Path, private: Path, seed: int) -> dict[str, Any]:
    """Score the submitted files.

    Raises:
        TimeoutError: The grader took too long.
        TypeError: It returned something that is no result.
    """
    # Graders write beside the code and in a home of their own; neither outlives the evaluation.
    os.environ.setdefault("HOME", tempfile.gettempdir())
    os.environ["HARNESS_SUBMISSION"] = str(submission)
    bundle = grade(make(private), submission)
    value = getattr(bundle, "aggregated", None)
    if not hasattr(bundle, "scores"):
        raise TypeError(f"the grader returned {bundle!r:.80}, neither a number nor a ScoreBundle")
    return {"score": value, "metrics": numbers(bundle), "feedback": told(bundle)}
