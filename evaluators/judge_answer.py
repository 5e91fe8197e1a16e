"""From how a judge ended to a score that can be believed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import EvaluatorFailedError
from harness.evaluators.strict_json import StrictJsonError, parse
from harness.evaluators.text import clean, clean_tail
from harness.sandbox.base import MIB, ExecEnd, ExecResult

MAX_ANSWER_BYTES = MIB


@dataclass(frozen=True, slots=True)
class Judged:
    """The judge's answer. `score` is finite, or None: the output is refused."""

    score: float | None
    metrics: Mapping[str, float]
    feedback: str
    detail: str
    """End of what the judge printed: for the task's author, never for agents."""


class _Answer(BaseModel):
    """What `judge_runner.py` writes; strict: neither `true` nor `"1"` is a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    score: float | None
    metrics: dict[str, float] = Field(max_length=1000)
    feedback: str


def judged(ended: ExecResult) -> Judged:
    """The answer of a judge's process.

    A number that is not finite refuses the candidate: it is what a candidate can provoke.

    Raises:
        EvaluatorFailedError: It raised, ran into a limit, or wrote anything but an answer.
    """
    detail = clean_tail(ended.stderr)
    if ended.end is not ExecEnd.EXITED:
        raise _failed(f"the judge ended by {ended.end}: {ended.evidence}", detail)
    if ended.exit_code:
        raise _failed(f"the judge ended with exit code {ended.exit_code}", detail)
    try:
        document = parse(ended.stdout, max_bytes=MAX_ANSWER_BYTES)
        if isinstance(document, dict) and "error" in document:
            raise _failed(str(document["error"]), detail)
        answer = _Answer.model_validate(document)
    except StrictJsonError as error:
        raise _failed(f"the judge's answer is not strict JSON: {error}", detail) from None
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "answer"
        raise _failed(f"the judge's answer: {where}: {first['msg']}", detail) from None
    feedback = clean(answer.feedback)
    numbers = [*answer.metrics.values(), *([] if answer.score is None else [answer.score])]
    if not all(math.isfinite(number) for number in numbers):
        return Judged(None, {}, f"not a finite number; {feedback}".rstrip("; "), detail)
    return Judged(answer.score, answer.metrics, feedback, detail)


def _failed(problem: str, detail: str) -> EvaluatorFailedError:
    # A traceback ends with the problem: it is not said twice.
    parts = [detail] if problem in detail else [detail, clean(problem)]
    return EvaluatorFailedError("\n".join(filter(None, parts)))
