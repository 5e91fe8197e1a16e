"""The section `evaluator` of `task.yaml`: a model for each kind of evaluator."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Strict = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class EvaluatorBase(BaseModel):
    """What every kind has: a command that runs the candidate, and a judge that never does."""

    model_config = Strict

    produce: list[str] = Field(min_length=1)
    """Command and arguments, run in the submission's folder without private data."""
    judge: str = Field(pattern=r"^[\w./-]+\.py:[A-Za-z_]\w*$")
    """`file.py:function` below `evaluator/`."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Wall-clock limit of `produce` in seconds."""
    judge_timeout_s: float = Field(default=60.0, gt=0)
    """Wall-clock limit of `judge` in seconds."""
    max_output_bytes: int = Field(default=16 * 1024 * 1024, ge=1)
    """Bytes of all output files together, and of standard output and error together."""
    repeats: int = Field(default=1, ge=1, le=100)
    """Evaluations per attempt with different seeds; the score is their median."""

    @property
    def judge_file(self) -> str:
        """The judge's file, relative to `evaluator/`."""
        return self.judge.rsplit(":", 1)[0]

    @property
    def judge_function(self) -> str:
        return self.judge.rsplit(":", 1)[1]


class AnswerSpec(EvaluatorBase):
    """`produce` runs the candidate, `judge(outputs, private, seed)` scores the files it wrote."""

    kind: Literal["answer"] = "answer"
    """`answer`: the candidate's command writes files, the judge reads them."""
    outputs: list[str] = Field(min_length=1)
    """Files the command must write, relative to the submission's folder."""


EvaluatorSpec: TypeAlias = AnswerSpec
