"""What an evaluation costs beside the candidate and the judge, and how many a machine does.

    python -m benchmarks.evaluators [--slots 1 2 4 8] [--places process bubblewrap docker ray]
                                    [--evaluations 40]

The candidate copies a number and the judge reads it, so all the time is the harness's. A row gives
evaluations per second with as many submissions waiting as there are slots, the median and the 95th
percentile of one from its slot to its verdict, and the CPU time of the launcher and its descendants
for each (Docker's containers are the daemon's, Ray's workers the cluster's: not in it). `ray` is a
cluster that is started on this machine, on the process sandbox. Each row is measured in a process
of its own, after a first evaluation at every slot. Prints a Markdown table.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PLACES = ("process", "bubblewrap", "docker", "prestart", "ray")


def settings(place: str, slots: int, leases: Path) -> tuple[Any, Any]:
    """The sandbox's and the evaluators' configuration."""
    from harness.evaluators.config import EvaluatorConfig
    from harness.sandbox.config import SandboxConfig

    sandbox: dict[str, Any] = {"provider": place}
    # Of its own: what else this machine evaluates is not waited for.
    evaluators: dict[str, Any] = {"slots": slots, "lease_dir": leases}
    if place == "prestart":
        sandbox = {"provider": "docker", "prestart": slots}
    if place == "ray":
        sandbox = {"provider": "process"}
        evaluators |= {"pool": "ray", "ray": {"address": "auto"}}
    return SandboxConfig.model_validate(sandbox), EvaluatorConfig.model_validate(evaluators)


async def measure(folder: Path, place: str, slots: int, evaluations: int) -> dict[str, Any]:
    """One row."""
    from benchmarks.overhead import cpu_now, make_task

    from harness.attempt import Status
    from harness.evaluators.base import EvaluationJob
    from harness.evaluators.open import open_evaluator
    from harness.evaluators.submission import FilesSubmission
    from harness.ids import AttemptId
    from harness.sandbox.tree import TreeFile
    from harness.tasks.loader import load_task

    chosen = settings(place, slots, folder / "leases")
    make_task(folder / "task")
    numbers = iter(range(10**9))
    async with open_evaluator(load_task(folder / "task"), *chosen) as opened:

        async def once() -> float:
            number = next(numbers)
            files = {"value.json": TreeFile(str(number).encode())}
            started = time.perf_counter()
            verdict = await opened.pool.evaluate(
                EvaluationJob(AttemptId(str(number)), FilesSubmission(files))
            )
            if verdict.status is not Status.SCORED or verdict.score != number:
                raise RuntimeError(f"no honest verdict: {verdict}")
            return time.perf_counter() - started

        async def many(count: int) -> list[float]:
            return [await once() for _ in range(count)]

        await asyncio.gather(*(many(1) for _ in range(slots)))
        each = max(1, evaluations // slots)
        wall, *cpu = cpu_now()
        at_slots = await asyncio.gather(*(many(each) for _ in range(slots)))
        wall_after, *cpu_after = cpu_now()
    spent = sorted(itertools.chain(*at_slots))
    return {
        "place": place,
        "slots": slots,
        "per_s": len(spent) / (wall_after - wall),
        "p50_ms": statistics.median(spent) * 1e3,
        "p95_ms": spent[min(len(spent) - 1, int(len(spent) * 0.95))] * 1e3,
        "cpu_ms": (sum(cpu_after) - sum(cpu)) / len(spent) * 1e3,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| where | slots | evaluations/s | p50 ms | p95 ms | CPU ms |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['place']} | {row['slots']} | {row['per_s']:.1f} | {row['p50_ms']:.0f} |"
        f" {row['p95_ms']:.0f} | {row['cpu_ms']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def measured_apart(place: str, slots: int, evaluations: int) -> dict[str, Any] | None:
    """A row measured in a process of its own; None when that failed."""
    command = [sys.executable, "-m", "benchmarks.evaluators", "--row", "--places", place]
    command += ["--slots", str(slots), "--evaluations", str(evaluations)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    row: dict[str, Any] | None = (
        json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    )
    told = "not measured" if row is None else f"{row['p50_ms']:.0f} ms"
    print(f"{place}, {slots} slots: {told}", file=sys.stderr)
    return row


def print_row(place: str, slots: int, evaluations: int) -> None:
    """Measure one row here and print it as JSON."""
    if place != "ray":
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asyncio.run(measure(Path(folder), place, slots, evaluations))))
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node = {"num_cpus": slots, "memory": slots * 2**31, "object_store_memory": 80 * 2**20}
    node |= {"include_dashboard": False}
    cluster: Any = Cluster(initialize_head=True, head_node_args=node)
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asyncio.run(measure(Path(folder), place, slots, evaluations))))
    finally:
        cluster.shutdown()


def main() -> None:
    """Measure every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--places", nargs="+", choices=PLACES, default=PLACES)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print_row(options.places[0], options.slots[0], options.evaluations)
        return
    wanted = [(place, slots) for place in options.places for slots in options.slots]
    rows = [measured_apart(place, slots, options.evaluations) for place, slots in wanted]
    print(table([row for row in rows if row is not None]))


if __name__ == "__main__":
    main()
