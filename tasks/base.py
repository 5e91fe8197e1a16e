"""The native task format: the models behind `task.yaml` and the loaded `Task`."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, field_validator

from harness.attempt import Direction
from harness.tasks.evaluation import EvaluatorSpec, Strict

MIN_MEMORY_BYTES = 16 * 1024**2
MAX_MEMORY_BYTES = 1024**5
_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


def _bytes(memory: str) -> int:
    return int(float(memory[:-3]) * _UNITS[memory[-3:]])


class ReferenceValue(BaseModel):
    """A score somebody published, and where."""

    model_config = Strict

    value: float = Field(allow_inf_nan=False)
    """The score, in the task's own unit."""
    source: str = Field(min_length=1)
    """Paper, repository or person it comes from."""


class SubmissionSpec(BaseModel):
    """Which files of the work tree are submitted. Patterns as in `.gitignore`, `/`-separated."""

    model_config = Strict

    include: list[str] = Field(default_factory=lambda: ["**"], min_length=1)
    """Patterns of files that are part of a submission."""
    exclude: list[str] = Field(default_factory=list[str])
    """Patterns of files that are not, beside caches, virtual environments and `.git`."""
    editable: list[str] = Field(default_factory=lambda: ["**"], min_length=1)
    """Patterns of files that may be changed, added or deleted; all others stay the seed's."""
    protected: list[str] = Field(default_factory=list[str])
    """Patterns of files that stay the seed's whatever `editable` says."""
    blocks: bool = False
    """In files of the seed that have them, only what stands between the lines with
    `EVOLVE-BLOCK-START` and `EVOLVE-BLOCK-END` may be changed."""
    max_bytes: int = Field(default=64 * 1024 * 1024, ge=1)
    """Size of a submission in bytes."""
    max_files: int = Field(default=5_000, ge=1)
    """Number of files in a submission."""


class TaskLimits(BaseModel):
    """Resources of one *produce*."""

    model_config = Strict

    cpus: float = Field(default=1.0, gt=0)
    """CPU cores."""
    memory: str = Field(default="2GiB", pattern=r"^\d+(\.\d+)?\s*(KiB|MiB|GiB|TiB)$")
    """Memory, for instance `512MiB` or `2GiB`."""
    gpus: float = Field(default=0, ge=0, le=64)
    """GPUs leased for each evaluation: whole ones, or a share of one such as 0.25."""
    exclusive: bool = False
    """No other evaluation runs beside it on this machine: for tasks that measure time."""
    pids: int = Field(default=256, ge=8)
    """Processes and threads alive at once."""

    @field_validator("gpus")
    @classmethod
    def _whole_or_share(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError("a whole number of GPUs, or a share below 1")
        return gpus

    @field_validator("memory")
    @classmethod
    def _enough_memory(cls, memory: str) -> str:
        if not MIN_MEMORY_BYTES <= _bytes(memory) < MAX_MEMORY_BYTES:
            raise ValueError("between 16MiB and 1024TiB")
        return memory

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes."""
        return _bytes(self.memory)


class DataFolder(BaseModel):
    """A folder of data beside the task, too large to be copied into each run."""

    model_config = Strict

    path: str = Field(pattern=r"^/")
    """Its place, absolute. Agents and candidates see it read-only, at `{data}` of `produce`."""
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 over the names and sizes of its files; checked at each launch and resume."""


class DataSpec(DataFolder):
    """A task's data set."""

    sample: DataFolder | None = None
    """A small part of it in the same form, at `{sample}` of `produce`: for a first stage."""


class EnvironmentSpec(BaseModel):
    """What candidate and judge need beside Python's standard library."""

    model_config = Strict

    image: str | None = None
    """Docker image for this task; None is the harness's base image."""
    python: list[str] = Field(default_factory=list[str])
    """Requirements as for pip; the base image has numpy, scipy and scikit-learn."""
    setup: list[str] = Field(default_factory=list[str])
    """Shell commands for the evaluator's environment alone, in a copy of `evaluator/`, once."""
    data: DataSpec | None = None
    """A data set for tasks of the kind `answer`."""


class BudgetSpec(BaseModel):
    """What `harness launch` takes when no budget is given; the first used up ends the run."""

    model_config = Strict

    evaluations: int | None = Field(default=100, ge=1)
    """Evaluations, the seed's included."""
    hours: float | None = Field(default=None, gt=0)
    """Wall time in hours."""


class ObjectiveSpec(BaseModel):
    """A metric of the judge's that matters beside the score."""

    model_config = Strict

    metric: str = Field(min_length=1)
    """Its name among the judge's `metrics`."""
    direction: Direction
    """Whether a higher or a lower value is better."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Against the score's weight of 1, with `search.objectives=weighted`."""


class TaskFile(BaseModel):
    """The content of `task.yaml`."""

    model_config = Strict

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Lower-case letters, digits and underscores."""
    description: str = Field(min_length=1)
    """What the agents are told. Markdown."""
    direction: Direction
    """Whether a higher or a lower score is better."""
    baseline: ReferenceValue | None = None
    """What a simple solution reaches."""
    best_known: ReferenceValue | None = None
    """The best published score."""
    target: float | None = Field(default=None, allow_inf_nan=False)
    """The run ends when this score is reached."""
    objectives: list[ObjectiveSpec] = Field(default_factory=list[ObjectiveSpec], max_length=2)
    """Metrics that matter beside the score; what nothing beats in all of them is kept and shown."""
    submission: SubmissionSpec = Field(default_factory=SubmissionSpec)
    evaluator: EvaluatorSpec
    limits: TaskLimits = Field(default_factory=TaskLimits)
    environment: EnvironmentSpec = Field(default_factory=EnvironmentSpec)
    budget: BudgetSpec = Field(default_factory=BudgetSpec)

    @field_validator("objectives")
    @classmethod
    def _each_once(cls, objectives: list[ObjectiveSpec]) -> list[ObjectiveSpec]:
        names = ["score", *(each.metric for each in objectives)]
        if len(set(names)) < len(names):
            raise ValueError("each metric once; `score` is an objective anyway")
        return objectives


@dataclass(frozen=True, slots=True)
class Task:
    """A validated task folder.

    `seed`, `evaluator`, `private` and `knowledge` are folders, None where there are none. `hash`
    covers task.yaml, seed and evaluator; `private_hash` what is private (by path, size and
    content), so that a resumed run can tell whether they changed.
    """

    file: TaskFile
    folder: Path
    seed: Path
    evaluator: Path | None
    private: Path | None
    knowledge: Path | None
    hash: str
    private_hash: str | None
    origin: Path | None = None
    """The folder in another tool's format that it was made from."""
    notes: tuple[str, ...] = ()
    """What of that format means nothing here."""

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def direction(self) -> Direction:
        return self.file.direction
