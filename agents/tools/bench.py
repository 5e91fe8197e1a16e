"""What outlives a tool call: the shell's place, background jobs, submissions not heard of yet."""

from dataclasses import dataclass, field

from harness.agents.tools.jobs import Jobs
from harness.agents.tools.shell import Shell


@dataclass(frozen=True, slots=True)
class Pending:
    """A submission whose verdict the agent has not been told."""

    attempt: str
    title: str
    key: str


@dataclass(slots=True)
class Bench:
    """One agent's things. The loop keeps `shell`, `pending` and the jobs' names in checkpoints."""

    shell: Shell = field(default_factory=Shell)
    jobs: Jobs = field(default_factory=Jobs)
    pending: list[Pending] = field(default_factory=list[Pending])
