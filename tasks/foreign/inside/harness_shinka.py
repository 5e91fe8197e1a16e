"""Runs a ShinkaEvolve evaluator; loaded by `one_phase.py`, without the harness.

As there: `evaluate.py --program_path P --results_dir R` in a process of its own, whose exit code
says nothing: what counts are `metrics.json` and `correct.json`. Otherwise than there, the program
must have come to its own end: a candidate that writes these files and ends the process is refused.
"""

from __future__ import annotations

import ast
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.machinery import PathFinder
from numbers import Real
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HERE = Path(__file__).resolve().parent
OPTIONS = json.loads((HERE / "harness_options.json").read_text(encoding="utf-8"))
TASK = HERE / "task"
SHIMS = str(HERE / "shims")
ENDED_EARLY = 70
"""Exit code of `harness_guard.py`."""


def is_a(kind: type, value: Any) -> bool:
    """`isinstance`, without telling a type checker."""
    return isinstance(value, kind)


def number(value: Any) -> float | None:
    """`value` if it is a finite number (NumPy's included; a boolean is none)."""
    if not is_a(Real, value) or type(value).__name__ in ("bool", "bool_"):
        return None
    plain = float(value)
    return plain if math.isfinite(plain) else None


def there(module: str) -> bool:
    """Whether a module can be found; below packages only where they are ours, nothing is run."""
    top, *parts = module.split(".")
    if top in sys.stdlib_module_names:
        return True
    found = PathFinder.find_spec(top, [str(TASK), *sys.path, SHIMS])
    if found is None or not str(found.origin).startswith(SHIMS):
        return found is not None
    return not parts or any(
        Path(SHIMS, top, *parts).with_suffix(end).exists() for end in ("", ".py")
    )


def prepare(private: Path) -> None:
    """Look whether `evaluate.py` could begin at all: nothing of that is the candidate's doing.

    Raises:
        SyntaxError: It is no Python program.
        ModuleNotFoundError: A package that it imports at its top is not there.
    """
    file = TASK / OPTIONS["evaluator"]
    for node in ast.parse(file.read_bytes(), str(file)).body:
        names = [alias.name for alias in node.names] if is_a(ast.Import, node) else []
        if is_a(ast.ImportFrom, node) and not node.level:
            names = [node.module]
        for name in names:
            if not there(name):
                raise ModuleNotFoundError(f"{file.name} imports {name!r}, which is not there")


def document(path: Path) -> dict[str, Any]:
    """What the evaluator wrote.

    Raises:
        ValueError: It wrote nothing, or nothing that is JSON.
        TypeError: It wrote something else.
    """
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"the evaluator wrote no {path.name}") from None
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None
    if not is_a(dict, found):
        raise TypeError(f"{path.name} holds a {type(found).__name__}, not an object")
    return dict(found)


def flat(metrics: dict[str, Any]) -> dict[str, float]:
    """Finite numbers of the document and of its public part."""
    public: Any = metrics.get("public")
    together: dict[str, Any] = {**metrics, **(public if is_a(dict, public) else {})}
    found = {str(name): number(value) for name, value in together.items()}
    return {n: v for n, v in found.items() if v is not None and n != "combined_score"}


def judge(submission: Path, private: Path, seed: int) -> dict[str, Any]:
    """Score the submitted program.

    Raises:
        ValueError: The evaluator left no result.
        RuntimeError: Its process was ended.
    """
    source = submission / OPTIONS["program"]
    folder = Path(tempfile.mkdtemp(prefix="candidate-"))
    results = folder / "results"
    results.mkdir()
    program = shutil.copyfile(source, folder / f"main{source.suffix}")
    paths = [str(TASK), os.environ.get("PYTHONPATH", ""), SHIMS]
    command = [
        sys.executable, str(HERE / "harness_guard.py"), str(TASK / OPTIONS["evaluator"]),
        "--program_path", str(program), "--results_dir", str(results), *OPTIONS["arguments"],
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ended = subprocess.run(
        command, cwd=TASK, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr,
        stderr=subprocess.PIPE, check=False, text=True, errors="replace",
    )  # fmt: skip
    sys.stderr.write(ended.stderr[-4000:])
    tail = ended.stderr.strip()[-1500:]
    if ended.returncode == ENDED_EARLY:
        raise RuntimeError(f"evaluate.py did not come to its end\n{tail}")
    try:
        correct = document(results / "correct.json")
        metrics = document(results / "metrics.json")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{error}\n{tail}".strip()) from None
    feedback = [str(metrics.get("text_feedback") or ""), str(correct.get("error") or "")]
    score = metrics.get("combined_score")
    if correct.get("correct") is not True:
        return {
            "score": None,
            "metrics": flat(metrics),
            "feedback": "\n".join(["not correct", *filter(None, feedback)]),
        }
    if "combined_score" not in metrics:
        raise ValueError(f"metrics.json has no 'combined_score' among {sorted(metrics)}")
    return {"score": score, "metrics": flat(metrics), "feedback": "\n".join(filter(None, feedback))}
