"""The part of CORAL's configuration that graders see."""

from dataclasses import dataclass, field


@dataclass
class ParallelConfig:
    max_workers: int = 1


@dataclass
class GraderConfig:
    """The section `grader` of a task."""

    entrypoint: str = ""
    setup: list = field(default_factory=list)
    timeout: int = 300
    args: dict = field(default_factory=dict)
    private: list = field(default_factory=list)
    direction: str = "maximize"
    max_pending_per_agent: int = 1
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
