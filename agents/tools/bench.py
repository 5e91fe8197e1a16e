"""What outlives a tool call: the shell's place, background jobs, submissions not heard of yet."""

from dataclasses import dataclass, field
from typing import TypedDict

from harness.agents.tools.jobs import Jobs
from harness.agents.tools.shell import Shell


class Waiting(TypedDict):
    """A `Pending` as it is checkpointed."""

    attempt: str
    title: str
    key: str


@dataclass(frozen=True, slots=True)
class Pending:
    """A submission whose verdict the agent has not been told."""

    attempt: str
    title: str
    key: str

    def dump(self) -> Waiting:
        """As plain JSON."""
        return {"attempt": self.attempt, "title": self.title, "key": self.key}


@dataclass(slots=True)
class Bench:
    """One agent's things. The loop keeps `shell`, `pending` and the jobs' names in checkpoints."""

    shell: Shell = field(default_factory=Shell)
    jobs: Jobs = field(default_factory=Jobs)
    pending: list[Pending] = field(default_factory=list[Pending])
