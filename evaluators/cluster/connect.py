"""To a Ray cluster, and what of it an evaluator takes."""

import logging
import math
import os
from collections.abc import Mapping
from typing import Any, cast

from harness.errors import ConfigurationError
from harness.evaluators.cluster.config import RayConfig
from harness.tasks.base import Task


def needs(task: Task, config: RayConfig) -> dict[str, float]:
    """What one evaluator holds, in Ray's words: `CPU`, `GPU`, `memory` (bytes), custom ones."""
    limits = task.file.limits
    found = {"CPU": limits.cpus, "memory": float(limits.memory_bytes), **config.resources}
    return found | ({"GPU": limits.gpus} if limits.gpus else {})


def actor_options(needed: Mapping[str, float]) -> dict[str, Any]:
    """`needed` as the options of a Ray actor that is never restarted behind our back."""
    custom = {name: need for name, need in needed.items() if name not in ("CPU", "GPU", "memory")}
    return {
        "num_cpus": needed["CPU"],
        "num_gpus": needed.get("GPU", 0),
        "memory": int(needed["memory"]),
        "resources": custom or None,
        "max_restarts": 0,
        "max_task_retries": 0,
    }


def connect(config: RayConfig) -> bool:
    """Join the cluster; whether this call did, so that its caller has to leave. Blocking.

    Raises:
        ConfigurationError: Ray is not installed, or there is no such cluster.
    """
    # Read when Ray is imported: nothing about its use is sent anywhere.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            "evaluators.pool is ray, and Ray is not installed",
            expected="the extra `ray`",
            action="pip install 'research-harness[ray]'",
        ) from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        return False
    address = None if config.address == "auto" else config.address
    try:
        # Standard output is the harness's own; of workers, Ray keeps logs in its own folder.
        ray.init(
            address=address or os.environ.get("RAY_ADDRESS", "auto"),
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"no Ray cluster answers at {config.address!r}: {str(error).splitlines()[0]}",
            expected="`auto` on a node of a running cluster, host:port of its head, or `local`",
            action="start one with `ray start --head`, or set evaluators.ray.address",
        ) from error
    return True


def leave() -> None:
    """Leave the cluster; what was started in it ends. Blocking."""
    import ray

    cast(Any, ray).shutdown()


def nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster as Ray lists them. Blocking."""
    import ray

    found: list[dict[str, Any]] = cast(Any, ray).nodes()
    return found


def capacity(nodes: list[dict[str, Any]], needed: Mapping[str, float]) -> int:
    """How many evaluators fit on the living nodes, as `ray.nodes()` lists them."""
    return sum(
        min(math.floor(node["Resources"].get(name, 0.0) / need) for name, need in needed.items())
        for node in nodes
        if node["Alive"]
    )


def require_capacity(
    nodes: list[dict[str, Any]], needed: Mapping[str, float], config: RayConfig, task: Task
) -> int:
    """`capacity`, which is at least one.

    Raises:
        ConfigurationError: No node can hold an evaluator.
    """
    fits = capacity(nodes, needed)
    if not fits:
        wanted = ", ".join(f"{name} {need:g}" for name, need in needed.items())
        raise ConfigurationError(
            f"no node of the Ray cluster {config.address!r} has what an evaluation of"
            f" {task.name!r} takes: {wanted}",
            expected="a node with as much of each (`ray status` shows what there is)",
            action="add a node, or lower `limits` in task.yaml or evaluators.ray.resources",
        )
    return fits
