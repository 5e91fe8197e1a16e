"""The section `evaluator` of `task.yaml`: a model for each kind of evaluator."""

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Strict = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class EvaluatorBase(BaseModel):
    """What every kind has: a command that runs the candidate, and a judge that never does."""

    model_config = Strict

    judge_parameters: ClassVar[tuple[str, ...]]
    """What the judge is called with, in this order."""

    produce: list[str] = Field(min_length=1)
    """Command and arguments, run in the submission's folder without private data."""
    judge: str = Field(pattern=r"^[\w./-]+\.py:[A-Za-z_]\w*$")
    """`file.py:function` below `evaluator/`."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Wall-clock limit of the candidate in seconds."""
    judge_timeout_s: float = Field(default=60.0, gt=0)
    """Wall-clock limit of `judge` in seconds."""
    max_output_bytes: int = Field(default=16 * 1024 * 1024, ge=1)
    """Bytes of all output files together, or of one answer."""
    repeats: int = Field(default=1, ge=1, le=100)
    """Evaluations per attempt with different seeds; the score is their median."""
    noise: float = Field(default=0.0, ge=0, lt=1)
    """Relative difference between two scores of one submission that means nothing."""

    @property
    def judge_file(self) -> str:
        """The judge's file, relative to `evaluator/`."""
        return self.judge.rsplit(":", 1)[0]

    @property
    def judge_function(self) -> str:
        return self.judge.rsplit(":", 1)[1]


class AnswerSpec(EvaluatorBase):
    """`produce` runs the candidate, the judge scores the files it wrote."""

    judge_parameters = ("outputs", "private", "seed")

    kind: Literal["answer"] = "answer"
    """`answer`: the candidate's command writes files, the judge reads them."""
    outputs: list[str] = Field(min_length=1)
    """Files the command must write, relative to the submission's folder."""


class ServeSpec(EvaluatorBase):
    """`produce` starts the candidate, the judge calls its functions."""

    judge_parameters = ("candidate", "private", "seed")

    kind: Literal["serve"]
    """`serve`: the candidate's command answers the calls of the judge."""
    call_timeout_s: float | None = Field(default=None, gt=0)
    """Wall-clock limit of one call in seconds; None: what is left of `timeout_s`."""
    secret_calls: bool = False
    """What the judge sends must stay secret: nothing that a candidate prints or raises is told."""
    baseline: str | None = None
    """Folder below `evaluator/`: laid over the seed, a program that is called in the same way."""


def _kind(value: Any) -> str:
    kind: Any = value.get("kind", "answer") if hasattr(value, "get") else "answer"
    # In brackets: no part of a key's name (`strict_yaml.key_name`).
    return f"<{kind}>"


EvaluatorSpec: TypeAlias = Annotated[
    Annotated[AnswerSpec, Tag("<answer>")] | Annotated[ServeSpec, Tag("<serve>")],
    Discriminator(_kind),
]
"""One line for each kind; its evaluator is in `evaluators/kinds.py`."""
