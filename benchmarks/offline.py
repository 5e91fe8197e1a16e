"""What the offline agent makes of each library task: a baseline without any model.

    python -m benchmarks.offline [--evals 120] [--agents 4] [--seeds 1 2 3 4 5] [--tasks NAME ...]

Each run is a real `harness launch`, with an empty memory. Prints every best score, their median and
its gain over the seed (the ratio that is above 1 when it is better).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.tasks.loader import library, load_task


def launch(task: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The seed's score, the best score and the wall time of one run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).parent / "harness"), "launch", task, "--json",
            "--agents", str(options.agents), "--evals", str(options.evals), "--seed", str(seed),
            "--sandbox", options.sandbox, "--memory", "run", "--runs-dir", folder,
        ]  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=folder)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    first = next(r for r in records if r["type"] == "attempt" and r["id"] == "0")
    last = records[-1]
    return {"seed": first["score"], "best": last["best"]["score"], "wall_s": last["wall_s"]}


def row(task: str, options: argparse.Namespace) -> str:
    """One line of the table."""
    minimize = load_task(task).direction == "minimize"
    runs = [launch(task, seed, options) for seed in options.seeds]
    start = runs[0]["seed"]
    median = statistics.median(run["best"] for run in runs)
    gain = start / median if minimize else median / start
    every = ", ".join(f"{run['best']:.4g}" for run in runs)
    wall = statistics.median(run["wall_s"] for run in runs)
    direction = "↓" if minimize else "↑"
    return (
        f"| {task} {direction} | {start:.4g} | {every} | {median:.4g} | {gain:.2f} | {wall:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--evals", type=int, default=120)
    parser.add_argument("--agents", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    # Not those that are called: their seeds have hardly a constant to change, or need a GPU.
    answers = [n for n in sorted(library()) if load_task(n).file.evaluator.kind == "answer"]
    parser.add_argument("--tasks", nargs="+", default=answers)
    parser.add_argument("--sandbox", default="process")
    options = parser.parse_args()
    print(f"{options.agents} agents, {options.evals} evaluations, {options.sandbox} sandbox\n")
    print("| task | seed | best of each run | median | gain | wall s |\n|---|---|---|---|---|---|")
    for task in options.tasks:
        print(row(task, options), flush=True)


if __name__ == "__main__":
    main()
