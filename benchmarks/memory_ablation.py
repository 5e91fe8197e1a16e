"""What the memory buys on a task that comes back: the same run with the memory kept and without.

    python -m benchmarks.memory_ablation [--tasks circle_packing ...] [--seeds 10] [--evals 60]
        [--runs 1]

For each task and seed, real `harness launch`es with the offline agent: runs that fill a memory,
then one with that memory (`kept`) and one with an empty one (`wiped`), both with the same seed,
which the first ones did not have. Printed for each task: the median best score and the median mean
of the best-so-far curve of both, in how many seeds `kept` is better, and the p of Wilcoxon's
signed-rank test over the seeds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import accumulate
from math import sqrt
from pathlib import Path
from statistics import NormalDist, fmean, median
from typing import NamedTuple

from harness.tasks.loader import load_task

TASKS = ("rastrigin", "halves", "circle_packing")
"""`rastrigin` and `halves` are made here: a program whose ten constants are a point of that
function; and one with two tables of which a submission is scored by the better, and by both only
once each is good, so that what two branches found has to be joined (family (e) of
`benchmarks.search` as a real task)."""

_SOLVE = """import json

X = [3.1, -2.7, 4.2, 1.6, -3.9, 2.2, -1.4, 3.7, -4.4, 2.9]

with open("x.json", "w", encoding="utf-8") as file:
    json.dump(X, file)
"""
_JUDGE = """import json
import math


def judge(outputs, private, seed):
    x = json.loads((outputs / "x.json").read_text(encoding="utf-8"))
    score = sum(v * v - 10 * math.cos(2 * math.pi * v) + 10 for v in x)
    return {"score": score, "metrics": {}, "feedback": f"value {score:.6g}"}
"""
_TASK = """name: rastrigin
description: Make the Rastrigin function of the ten numbers that solve.py writes small.
direction: minimize
submission: {include: ["*.py"]}
evaluator:
  kind: answer
  produce: [python, solve.py]
  outputs: [x.json]
  judge: judge.py:judge
  timeout_s: 20
budget: {evaluations: 60}
"""
_HALVES_SOLVE = """import json

LEFT = [0.61, -0.54, 0.84, 0.32]

RIGHT = [-0.88, 0.58, 0.21, -0.63]

with open("x.json", "w", encoding="utf-8") as file:
    json.dump([LEFT, RIGHT], file)
"""
_HALVES_JUDGE = """import json
import math

TARGETS = (
    [-0.34, 0.27, 0.12, -0.46],
    [0.23, -0.31, 0.64, 0.18],
)


def judge(outputs, private, seed):
    halves = json.loads((outputs / "x.json").read_text(encoding="utf-8"))
    worth = sorted(
        math.exp(-3 * sum(abs(a - b) for a, b in zip(half, target, strict=True)) / len(target))
        for half, target in zip(halves, TARGETS, strict=True)
    )
    score = worth[1] / 2 + (worth[0] / 2 if worth[0] > 0.5 else 0)
    return {"score": score, "metrics": {}, "feedback": f"{score:.6g}"}
"""


class Curve(NamedTuple):
    """One run: its best score, and the mean of the best score so far over the evaluations."""

    best: float
    area: float


def launch(task: str, seed: int, memory: Path, options: argparse.Namespace) -> Curve:
    """A run of the task that reads and writes `memory`."""
    with tempfile.TemporaryDirectory() as runs:
        command = [
            str(Path(sys.executable).parent / "harness"), "launch", task, "--json",
            "--agents", str(options.agents), "--evals", str(options.evals), "--seed", str(seed),
            "--sandbox", "process", "--runs-dir", runs,
        ]  # fmt: skip
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=runs,
            env={**os.environ, "HARNESS_MEMORY": str(memory)},
        )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    scores = [r["score"] for r in records if r["type"] == "attempt" and r["status"] == "scored"]
    best = list(accumulate(scores, min if load_task(task).direction == "minimize" else max))
    return Curve(best[-1], fmean(best))


def made(folder: Path) -> dict[str, str]:
    """The folders of the tasks that are made here, below `folder`."""
    halves = _TASK.replace("name: rastrigin", "name: halves").replace("minimize", "maximize")
    halves = halves.replace(
        "Make the Rastrigin function of the ten numbers that solve.py writes small.",
        "Bring both tables of solve.py close to what the judge has in mind.",
    )
    tasks = {
        "rastrigin": (_TASK, _SOLVE, _JUDGE),
        "halves": (halves, _HALVES_SOLVE, _HALVES_JUDGE),
    }
    for task, texts in tasks.items():
        names = ("task.yaml", "seed/solve.py", "evaluator/judge.py")
        for name, text in zip(names, texts, strict=True):
            path = folder / task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return {task: str(folder / task) for task in tasks}


def pair(task: str, seed: int, options: argparse.Namespace) -> tuple[Curve, Curve]:
    """The run with the memory kept, and the one with it wiped."""
    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as wiped:
        for earlier in range(options.runs):
            launch(task, 1_000 * (earlier + 1) + seed, Path(kept), options)
        return (
            launch(task, seed, Path(kept), options),
            launch(task, seed, Path(wiped), options),
        )


def wilcoxon(differences: Sequence[float]) -> float:
    """Two-sided p of the signed-rank test, by its normal approximation with ties."""
    others = sorted((d for d in differences if d), key=abs)
    count = len(others)
    if count < 2:
        return 1.0
    sizes = [abs(d) for d in others]
    ranks = [fmean(n + 1 for n, size in enumerate(sizes) if size == each) for each in sizes]
    positive = sum(rank for rank, d in zip(ranks, others, strict=True) if d > 0)
    mean, variance = count * (count + 1) / 4, sum(rank * rank for rank in ranks) / 4
    return 2 * (1 - NormalDist().cdf(max(0.0, abs(positive - mean) - 0.5) / sqrt(variance)))


def row(task: str, options: argparse.Namespace) -> str:
    """The table's line for a task."""
    sign = -1 if load_task(task).direction == "minimize" else 1
    pairs = [pair(task, seed, options) for seed in range(1, options.seeds + 1)]
    cells: list[str] = []
    for part in ("best", "area"):
        kept, wiped = ([getattr(each[side], part) for each in pairs] for side in (0, 1))
        gains = [sign * (k - w) for k, w in zip(kept, wiped, strict=True)]
        better = sum(gain > 0 for gain in gains)
        cells += [f"{median(kept):.4g}", f"{median(wiped):.4g}", f"{better}/{len(gains)}"]
        cells.append(f"{wilcoxon(gains):.3f}")
    return f"| {Path(task).name} {'↓' if sign < 0 else '↑'} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=10, help="pairs for each task")
    parser.add_argument("--evals", type=int, default=60, help="evaluations of each run")
    parser.add_argument("--runs", type=int, default=1, help="runs that fill the memory")
    parser.add_argument("--agents", type=int, default=2)
    options = parser.parse_args()
    print(
        f"{options.runs} run fills the memory; {options.evals} evaluations a run, "
        f"{options.agents} offline agents, {options.seeds} seeds\n"
    )
    print(
        "| task | best: kept | wiped | kept better | p | mean curve: kept | wiped | kept better"
        " | p |\n|---|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        folders = made(Path(folder))
        for task in options.tasks:
            print(row(folders.get(str(task), str(task)), options), flush=True)


if __name__ == "__main__":
    main()
