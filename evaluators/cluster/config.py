"""The section `evaluators.ray` of the configuration."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RayConfig(BaseModel):
    """Which Ray cluster evaluates, and what each evaluation takes of it beside CPUs, GPUs and
    memory, which are the task's limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    address: str = "auto"
    """`host:port` of the cluster's head; `auto`: the cluster that this machine is a node of (or
    `RAY_ADDRESS`); `local`: one that is started on this machine for the run alone."""
    resources: dict[str, Amount] = Field(default_factory=dict[str, Amount])
    """Custom resources of the cluster that each evaluator holds, such as `{evaluators: 1}`."""
    silence_s: float = Field(default=30.0, ge=0.5)
    """A worker that does not answer for so many seconds is taken for dead: what it evaluates is
    evaluated elsewhere, and what it answers later is kept as late."""
    deadline_s: float | None = Field(default=None, gt=0)
    """How long one evaluation may take on a node, tries after failures included; None: by the
    task's limits, and a minute for each try."""
