"""The section `evaluator` of `task.yaml`: a model for each kind of evaluator."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

Strict = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


PRINTED = "printed.txt"
SUBMISSION = "submission"
"""Where a judge finds what `judge_sees` names."""


class StageSpec(BaseModel):
    """A cheaper evaluation that a candidate must pass before the whole one is begun."""

    model_config = Strict

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Names the stage in verdicts."""
    threshold: float = Field(allow_inf_nan=False)
    """The score that the stage must reach, in the task's direction."""
    evaluator: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Keys of the section `evaluator` that are different in this stage."""


class HiddenSpec(BaseModel):
    """For scores on data that agents must not learn by asking often."""

    model_config = Strict

    step: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Scores and metrics are multiples of this, rounded to the worse one; everything in the run
    goes by them."""
    metrics: bool = False
    """Whether agents are told the judge's metrics."""
    feedback: bool = False
    """Whether agents are told the judge's words."""
    per_agent: int | None = Field(default=None, ge=1)
    """Evaluations of one agent, at most."""
    holdout: dict[str, Any] | None = None
    """Keys of the section `evaluator` that are different when champions are scored once more, on
    data nobody was told a score of; only the report has the result."""
    champions: int = Field(default=3, ge=1, le=100)
    """How many of the best are scored on the hold-out when the run ends."""


class EvaluatorBase(BaseModel, ABC):
    """What every kind has: bounds, repeats and stages."""

    model_config = Strict

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
    stages: list[StageSpec] = Field(default_factory=list[StageSpec], max_length=10)
    """Cheaper evaluations that come first, in this order; the first that is not passed is the
    last."""

    hidden: HiddenSpec | None = None
    """How little is told of scores on hidden data; None: everything."""

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs or builds the candidate; empty where there is not one."""
        return ()

    @property
    @abstractmethod
    def private_files(self) -> tuple[str, str] | None:
        """What of `evaluator/` must be there: a path below it, and what it is; None: nothing."""

    @abstractmethod
    def judge_words(self, evaluator: str) -> list[str]:
        """What a program that runs the judge is told of it; `evaluator` is where that folder is."""

    def varied(self, keys: Mapping[str, Any]) -> Self:
        """The section with other values for some keys, without stages and what is hidden."""
        whole = {**self.model_dump(exclude={"stages", "hidden"}), **keys}
        return type(self).model_validate(whole, strict=True)

    @model_validator(mode="after")
    def _variations_make_sense(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError("two of its 'stages' have the same name")
        for stage in self.stages:
            self._check_varied(f"stage {stage.name!r}", stage.evaluator)
        if self.hidden is not None and self.hidden.holdout is not None:
            self._check_varied("'hidden.holdout'", self.hidden.holdout)
        return self

    def _check_varied(self, what: str, keys: Mapping[str, Any]) -> None:
        for key in ("kind", "stages", "hidden"):
            if key in keys:
                raise ValueError(f"{what} cannot change {key!r}")
        try:
            self.varied(keys)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise ValueError(f"{what}: {key}: {first['msg']}") from None

    @property
    def variations(self) -> list[Self]:
        """The section as it holds in each stage and on the hold-out."""
        varied = [self.varied(stage.evaluator) for stage in self.stages]
        if self.hidden is not None and self.hidden.holdout is not None:
            varied.append(self.varied(self.hidden.holdout))
        return varied


class JudgedSpec(EvaluatorBase):
    """With a judge: a Python function below `evaluator/`."""

    judge_parameters: ClassVar[tuple[str, ...]]
    """What the judge is called with, in this order."""

    judge: str = Field(pattern=r"^[\w./-]+\.py:[A-Za-z_]\w*$")
    """`file.py:function` below `evaluator/`."""

    @property
    def judge_file(self) -> str:
        """The judge's file, relative to `evaluator/`."""
        return self.judge.rsplit(":", 1)[0]

    @property
    def judge_function(self) -> str:
        return self.judge.rsplit(":", 1)[1]

    @property
    def private_files(self) -> tuple[str, str]:
        return self.judge_file, f"the judge, {self.judge}"

    def judge_words(self, evaluator: str) -> list[str]:
        return [f"{evaluator}/{self.judge_file}", self.judge_function]


class ProducedSpec(JudgedSpec):
    """With a command that runs the candidate, and a judge that never does."""

    produce: list[str] = Field(min_length=1)
    """Command and arguments, run in the submission's folder without private data."""

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(self.produce)


class AnswerSpec(ProducedSpec):
    """`produce` runs the candidate, the judge scores the files it wrote."""

    judge_parameters = ("outputs", "private", "seed")

    kind: Literal["answer"] = "answer"
    """`answer`: the candidate's command writes files, the judge reads them."""
    outputs: list[str] = Field(min_length=1)
    """Files the command must write, relative to the submission's folder."""
    judge_sees: list[Literal["printed", "submission"]] = Field(
        default_factory=list[Literal["printed", "submission"]]
    )
    """What the judge finds beside the outputs, as data: `printed` (the end of the command's
    standard output, in `printed.txt`), `submission` (the submitted files, below `submission/`)."""

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        taken = {"printed": PRINTED, "submission": SUBMISSION}
        for kind in self.judge_sees:
            if any(name.split("/")[0] == taken[kind] for name in self.outputs):
                raise ValueError(f"'judge_sees' has {kind!r}, and an output has its name")
        return self


class ServeSpec(ProducedSpec):
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


class RepositorySpec(EvaluatorBase):
    """The task's tests run commands on the submitted tree, from outside its sandbox.

    `timeout_s` bounds the candidate's commands together, `judge_timeout_s` the tests' own time.
    """

    kind: Literal["repository"]
    """`repository`: the task's tests run commands of the submission and report test by test."""
    build: list[str] = Field(default_factory=list[str])
    """Command and arguments that prepare the tree before the tests; empty: none."""
    tests: str = "tests"
    """Folder below `evaluator/` with `test_*.py`: `unittest` cases of `harness_repository`."""
    command_timeout_s: float | None = Field(default=None, gt=0)
    """Wall-clock limit of one command in seconds; None: what is left of `timeout_s`."""
    score: str = Field(default="passed", min_length=1)
    """`passed`: the share of tests that pass; else a metric the tests report, and all must pass."""
    secret_tests: bool = False
    """Agents are told how many tests pass, not which, nor why."""

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(self.build)

    @property
    def private_files(self) -> tuple[str, str]:
        return self.tests, "the tests, test_*.py"

    def judge_words(self, evaluator: str) -> list[str]:
        return [f"{evaluator}/{self.tests}"]


class OnePhaseSpec(JudgedSpec):
    """The evaluator imports or runs the candidate itself: for formats of others that do so.

    A hostile candidate can read what lies in its reach and can forge its score; nothing but the
    ends of its process and the channel of its result are looked after. A function
    `prepare(private)` in the judge's file is called first: what that raises is never the
    candidate's doing.
    """

    judge_parameters = ("submission", "private", "seed")

    kind: Literal["one_phase"]
    """`one_phase`: the evaluator runs the candidate in its own process; scores can be forged."""


class MetricSpec(BaseModel):
    """Where a number is found once the command has ended: the last match counts."""

    model_config = Strict

    regex: str | None = None
    """Regular expression with one group, the number; `^` and `$` match at each line."""
    json_path: str | None = Field(default=None, alias="json", min_length=1)
    """Keys and indices with dots between them, in a JSON document or the last line that is one."""
    file: str | None = None
    """File of the submission's folder that the command writes; None: what the command prints."""

    @property
    def words(self) -> str:
        """Where the number is found, for people and agents."""
        where = self.file or "what the command prints"
        if self.regex is not None:
            return f"the last match of `{self.regex}` in {where}"
        return f"`{self.json_path}` in the JSON of {where}"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.regex is None) == (self.json_path is None):
            raise ValueError("either `regex` or `json`")
        if self.regex is not None:
            try:
                groups = re.compile(self.regex).groups
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if groups != 1:
                raise ValueError(f"the regular expression has {groups} groups, not one")
        return self


class CommandSpec(EvaluatorBase):
    """A command on the submission, and where the number is: for anything else that has a score.

    The candidate's own code says what it scores, so it can make that up; verdicts are marked.
    """

    kind: Literal["command"]
    """`command`: a command is run on the submission, and prints or writes the score."""
    run: list[str] = Field(min_length=1)
    """Command and arguments, run in the submission's folder; `{evaluator}` and `{private}` stand
    for these folders, `{seed}` for the evaluation's seed."""
    metric: MetricSpec
    """The score."""
    metrics: dict[str, MetricSpec] = Field(default_factory=dict[str, MetricSpec])
    """What else is shown and kept; one that is missing is no failure."""

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(self.run)

    @property
    def private_files(self) -> tuple[str, str] | None:
        return None

    def judge_words(self, evaluator: str) -> list[str]:
        plain = self.model_dump(include={"run", "metric", "metrics"}, by_alias=True)
        return [json.dumps({**plain, "evaluator": evaluator})]


def _kind(value: Any) -> str:
    kind: Any = value.get("kind", "answer") if hasattr(value, "get") else "answer"
    # In brackets: no part of a key's name (`strict_yaml.key_name`).
    return f"<{kind}>"


EvaluatorSpec: TypeAlias = Annotated[
    Annotated[AnswerSpec, Tag("<answer>")]
    | Annotated[ServeSpec, Tag("<serve>")]
    | Annotated[RepositorySpec, Tag("<repository>")]
    | Annotated[OnePhaseSpec, Tag("<one_phase>")]
    | Annotated[CommandSpec, Tag("<command>")],
    Discriminator(_kind),
]
"""One line for each kind; its evaluator is in `evaluators/kinds.py`."""
