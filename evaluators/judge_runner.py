"""Calls a judge inside its sandbox: python -I judge_runner.py FILE FUNCTION PRIVATE OUTPUTS SEED.

It runs alone, without the harness: standard library only, and little of it, since it starts anew
for each verdict. The answer, one JSON document, is written to what was standard output; whatever
the judge prints goes to standard error.
"""

from __future__ import annotations

import json
import math
import os
import sys
from importlib.machinery import SourceFileLoader
from numbers import Real
from pathlib import Path
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any  # importing them costs milliseconds

FIELDS = ("score", "metrics", "feedback")
NOT_NUMBERS = ("bool", "bool_")


class AnswerError(Exception):
    """The judge's answer is not of the form that judges answer in."""


def is_a(kind: type, value: Any) -> bool:
    """`isinstance`, without telling a type checker."""
    return isinstance(value, kind)


def number(name: str, value: Any) -> float:
    """`value` as a plain number (NumPy's included); a boolean is none."""
    if not is_a(Real, value) or type(value).__name__ in NOT_NUMBERS:
        raise AnswerError(f"{name} is {value!r:.80} ({type(value).__name__}), not a number")
    if type(value) is int:
        return value
    return float(value)


def finite(value: float) -> bool:
    """Whether `value` is finite as a float, however large an integer it is."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def plain(answer: Any) -> dict[str, Any]:
    """The judge's answer as plain JSON; a number that is not finite refuses the candidate."""
    if not is_a(dict, answer) or "score" not in answer:
        raise AnswerError(f'the judge must return {{"score": ...}}, not {answer!r:.200}')
    unknown = [str(key) for key in answer if key not in FIELDS]
    if unknown:
        raise AnswerError(f"the judge returned {unknown}; known are {list(FIELDS)}")
    feedback: Any = answer.get("feedback") or ""
    metrics: Any = answer.get("metrics") or {}
    if not is_a(str, feedback) or not is_a(dict, metrics):
        raise AnswerError("feedback must be a text, metrics a dictionary of numbers")
    score = None if answer["score"] is None else number("the score", answer["score"])
    values = {str(name): number(f"metric {name!r}", value) for name, value in metrics.items()}
    for name, value in (("the score", score), *values.items()):
        if value is not None and not finite(value):
            shown = "an integer too large for a float" if type(value) is int else str(value)
            feedback = f"{name} is not a finite number ({shown}). {feedback}"
            score = None
    values = {name: value for name, value in values.items() if finite(value)}
    return {"score": score, "metrics": values, "feedback": feedback}


def load(file: str, function: str) -> Any:
    """Import the judge by its path; its function."""
    sys.path.insert(0, str(Path(file).parent))
    module = ModuleType("judge")
    module.__file__ = file
    sys.modules["judge"] = module
    SourceFileLoader("judge", file).exec_module(module)
    return getattr(module, function)


def ask(judge: Any, outputs: str, private: str, seed: int) -> dict[str, Any]:
    """Call the judge."""
    return plain(judge(Path(outputs), Path(private), seed))


def answer_on(channel: int, judge: Callable[[], dict[str, Any]]) -> None:
    """Write the answer to `channel`; an exception of the judge is an answer too."""
    try:
        answer = judge()
    except BaseException as error:  # whatever the judge does, SystemExit too, its author is told
        import traceback

        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
    sys.stdout.flush()
    sys.stderr.flush()
    data = json.dumps(answer, allow_nan=False).encode("ascii")
    while data:
        data = data[os.write(channel, data) :]


def main() -> None:
    """Answer on the real standard output."""
    file, function, private, outputs, seed = sys.argv[1:]
    channel = os.dup(1)
    os.dup2(2, 1)
    answer_on(channel, lambda: ask(load(file, function), outputs, private, int(seed)))


if __name__ == "__main__":
    main()
