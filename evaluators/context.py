"""What an evaluator is made of, whatever its kind."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from harness.sandbox.base import Limits, SandboxProvider
from harness.sandbox.watch import ProviderWatch
from harness.tasks.base import Task


@dataclass(frozen=True, slots=True)
class EvaluatorContext:
    """The task, and where and within which bounds its submissions are scored.

    `limits` are those of one sandbox; the task's own outrank them where candidates run. `python`
    is the virtual environment whose Python the sandboxes use, where the provider runs on the
    host's file system (None: the harness's own). `scratch` is a folder that a sandbox's uid can
    reach by path, for copies and working folders. `labels` are put on every sandbox. Where there is
    a `watch`, evaluations wait for a provider that is away instead of failing.
    """

    task: Task
    provider: SandboxProvider
    limits: Limits
    python: Path | None
    scratch: Path
    executor: Executor
    labels: Mapping[str, str]
    watch: ProviderWatch | None = None
    image: str | None = None
    """Docker image for candidates and judges; None: the configured one."""
    prestart: int = 0
    """Sandboxes for candidates that are started ahead."""

    @property
    def candidate_limits(self) -> Limits:
        """`limits` with what the task says of a sandbox in which a candidate runs."""
        spec = self.task.file.limits
        return self.limits.model_copy(
            update={"cpus": spec.cpus, "memory_bytes": spec.memory_bytes, "pids": spec.pids}
        )

    def make_scratch(self) -> None:
        """Make `scratch` where it is missing. Blocking."""
        if not self.scratch.exists():
            self.scratch.mkdir(parents=True)
            # Reachable but not to be listed: names in it cannot be guessed.
            self.scratch.chmod(0o711)
