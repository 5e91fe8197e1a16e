"""Scores a fitted polynomial on hidden points.

The standard library and what task.yaml declares may be imported; the harness is not there. What
this prints goes to standard error and reaches nobody but you.
"""

import json
import math
from pathlib import Path
from typing import Any

MAX_COEFFICIENTS = 12


def judge(outputs: Path, private: Path, seed: int) -> dict[str, Any]:
    """Score the files that the candidate wrote.

    Args:
        outputs: Folder with the files of `evaluator.outputs`. Trust nothing in them.
        private: The task's private/ folder.
        seed: For judges that draw random numbers; it differs between repeats.

    Returns:
        score: A finite number, or None when the answer breaks the rules.
        metrics: More numbers to keep (optional).
        feedback: What the agent is told (optional). Say what is wrong, give nothing private away.

    An exception means that the judge is broken, not the answer: refuse bad answers, don't raise.
    """
    try:
        answer = json.loads((outputs / "answer.json").read_text(encoding="utf-8"))
        coefficients: list[Any] = answer["coefficients"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        return {"score": None, "feedback": f"answer.json is not as described: {error!r}"}
    if type(coefficients) is not list or not 1 <= len(coefficients) <= MAX_COEFFICIENTS:
        return {"score": None, "feedback": "coefficients must be a list of 1 to 12 numbers"}
    # type(), not isinstance(): True is an int too. NaN is a float, and not below anything.
    if not all(type(c) in (int, float) and abs(c) < 1e6 for c in coefficients):
        return {"score": None, "feedback": "each coefficient must be a number below 1e6 in size"}

    points = json.loads((private / "points.json").read_text(encoding="utf-8"))
    errors = [predict(coefficients, x) - y for x, y in zip(points["x"], points["y"], strict=True)]
    score = math.fsum(error * error for error in errors) / len(errors)
    return {
        "score": score,
        "metrics": {"degree": len(coefficients) - 1},
        "feedback": f"mean squared error {score:.4f} with degree {len(coefficients) - 1}",
    }


def predict(coefficients: list[float], x: float) -> float:
    """The polynomial's value, by Horner's rule."""
    value = 0.0
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value
