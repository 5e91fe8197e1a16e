"""The `evaluators` section of the configuration."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.evaluators.cluster.config import RayConfig
from harness.evaluators.gpus.leases import DEFAULT_FOLDER


class EvaluatorConfig(BaseModel):
    """How many evaluations run side by side, and how runs share a host's GPUs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: Literal["local", "ray"] = "local"
    """Where evaluations run: `local`, on this machine; `ray`, on the nodes of a Ray cluster (extra
    `ray`)."""
    slots: int | None = Field(default=None, ge=1)
    """Evaluations at once; None: one for each CPU core, or as many as the cluster has room for."""
    ray: RayConfig = Field(default_factory=RayConfig)
    cache: Path | None = None
    """Folder in which verdicts are kept, to be given again to the same files, task, data and
    environment, in this run or another; None: each is evaluated anew. Never for tasks that measure
    time or whose scores are noisy."""
    lease_dir: Path = DEFAULT_FOLDER
    """Where the runs of a host tell each other which GPU is taken and who must be alone; the same
    folder for all of them, on a local disk."""
    nvidia_smi: str = "nvidia-smi"
    """Program that is asked for GPUs where NVML's bindings (extra `gpu`) are not installed."""

    @property
    def at_once(self) -> int:
        return self.slots or os.cpu_count() or 1
