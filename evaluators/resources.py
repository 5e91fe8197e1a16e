"""What an evaluation holds while it runs, beside its slot: a turn on this host, and GPUs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from harness.errors import ConfigurationError
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.exclusive import HostTurn
from harness.evaluators.gpus.discovery import GpuQueryError, discover
from harness.evaluators.gpus.leases import GpuLeases, require
from harness.tasks.base import Task


class Resources:
    """What the evaluations of one task need, shared with all runs of the host."""

    def __init__(self, leases: GpuLeases, turn: HostTurn, *, gpus: float, alone: bool) -> None:
        self._leases = leases
        self._turn = turn
        self._gpus = gpus
        self._alone = alone

    @classmethod
    def of(cls, task: Task, config: EvaluatorConfig, run: str = "") -> "Resources":
        """What `limits` of the task asks for.

        Raises:
            ConfigurationError: More GPUs than this machine has.
        """
        limits, find = task.file.limits, partial(discover, config.nvidia_smi)
        if limits.gpus:
            try:
                require(find(), limits.gpus, task.name)
            except GpuQueryError as error:
                raise ConfigurationError(
                    f"task {task.name!r} wants a GPU, and the driver does not answer: {error}",
                    expected="an NVIDIA driver that works",
                    action="check it with nvidia-smi; `harness doctor` shows what is found",
                ) from error
        leases = GpuLeases(find, run=run, folder=config.lease_dir)
        turn = HostTurn(config.lease_dir)
        return cls(leases, turn, gpus=limits.gpus, alone=limits.exclusive)

    @asynccontextmanager
    async def hold(self) -> AsyncGenerator[tuple[str, ...]]:
        """Wait for what an evaluation needs; the UUIDs of its GPUs."""
        # GPUs first: one that waits for a GPU must not keep others from evaluating.
        async with self._leases.lease(self._gpus) as gpus, self._turn.take(alone=self._alone):
            yield gpus
