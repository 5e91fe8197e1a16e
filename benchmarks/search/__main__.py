"""Which policy finds most with the same proposer and the same number of evaluations.

    python -m benchmarks.search [--split report] [--seeds 20] [--evaluations 300]
        [--families F …] [--policies P …] [--processes 2] [--plot FILE.png] [--save FILE.json]
    python -m benchmarks.search --cost 10000

Prints a Markdown table: mean share of the gap between seed and optimum that is closed at the end,
and the mean of the best-so-far curve (area), per family. `=`, `<` and `>` say whether `progressive`
is tied with, below or above a policy: Wilcoxon's signed-rank test over instances and seeds, with
Holm's correction over all comparisons of the table, at 5 %. The split `tuning` is for changing
policies; figures are reported on `report`, which has other functions, sizes, shifts and seeds.

The family `library` is the tasks of the library with the offline agent's proposer: 100 evaluations
and at most 20 seeds.

No sandbox and no model: the graph, the protocol and the policies are the real ones, evaluations
are pure functions. Under noise the true score of what looked best is reported. `--cost` measures
the CPU time of policy and graph per attempt instead, over the last thousand attempts.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.search.drive import Course, Pure, search
from benchmarks.search.library import (
    EVALUATIONS,
    MOST_SEEDS,
    REPORT_TASKS,
    TUNING_TASKS,
    LibraryTask,
)
from benchmarks.search.peers import Aide, MlEvolve, OpenEvolveIslands
from benchmarks.search.problems import REPORT, TUNING, Multimodal

from harness.search.base import SearchPolicy
from harness.search.config import SearchConfig
from harness.search.policies import BUILT_IN, make_policy

LEVEL = 0.05
PEERS: dict[str, Callable[..., SearchPolicy]] = {
    "AIDE": Aide,
    "MLEvolve": MlEvolve,
    "OpenEvolve": OpenEvolveIslands,
}
OURS = "progressive"
LIBRARY = "library"
SUITES = {"tuning": TUNING, "report": REPORT}
TASKS = {"tuning": TUNING_TASKS, "report": REPORT_TASKS}


@dataclass(frozen=True, slots=True)
class Results:
    """Courses by family and policy, in the same order of instances and seeds for every policy."""

    courses: Mapping[str, Mapping[str, Sequence[Course]]]


def policy_named(name: str, seed: int) -> SearchPolicy:
    if name in PEERS:
        return PEERS[name](seed=seed, direction="maximize", config=SearchConfig())
    return make_policy(name, seed=seed, direction="maximize", config=SearchConfig())


class Job(NamedTuple):
    """One search: `number` counts the instances of a family."""

    split: str
    family: str
    number: int
    seed: int
    policy: str
    evaluations: int


def course(job: Job) -> Course:
    policy = policy_named(job.policy, job.seed)
    if job.family == LIBRARY:
        return search(policy, LibraryTask(TASKS[job.split][job.number]), EVALUATIONS, job.seed)
    label = f"{job.split}:{job.family}:{job.number}:{job.seed}"
    problem = SUITES[job.split][job.family][job.number](random.Random(label))
    return search(policy, Pure(problem), job.evaluations, job.seed)


def run(
    split: str,
    families: Sequence[str],
    policies: Sequence[str],
    seeds: int,
    evaluations: int,
    processes: int = 1,
) -> Results:
    instances = {family: len(makers) for family, makers in SUITES[split].items()}
    instances[LIBRARY] = len(TASKS[split])
    jobs = [
        Job(split, family, number, seed, name, evaluations)
        for family in families or instances
        for number in range(instances[family])
        for seed in range(min(seeds, MOST_SEEDS) if family == LIBRARY else seeds)
        for name in policies
    ]
    courses: dict[str, dict[str, list[Course]]] = {}
    with ProcessPoolExecutor(processes) as pool:
        for job, found in zip(jobs, pool.map(course, jobs, chunksize=4), strict=True):
            by_policy = courses.setdefault(job.family, {name: [] for name in policies})
            by_policy[job.policy].append(found)
    return Results(courses)


def signs(results: Results, value: Callable[[Course], float]) -> dict[tuple[str, str], str]:
    """`>` where ours is better than (family, policy), `<` where worse, `=` where tied."""
    from scipy.stats import wilcoxon

    tests: list[tuple[float, float, tuple[str, str]]] = []
    for family, by_policy in results.courses.items():
        ours = [value(course) for course in by_policy.get(OURS, ())]
        for name, theirs in by_policy.items():
            gaps = [a - value(b) for a, b in zip(ours, theirs, strict=False)]
            if name != OURS and any(gaps):
                # Normal approximation with ties, good for 20 pairs and more.
                p = float(wilcoxon(gaps, method="approx").pvalue)
                tests.append((p, sum(gaps), (family, name)))
    found: dict[tuple[str, str], str] = {}
    rejected = True
    for place, (p, gap, key) in enumerate(sorted(tests)):
        rejected = rejected and p * (len(tests) - place) <= LEVEL
        found[key] = (">" if gap > 0 else "<") if rejected else "="
    return found


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def table(results: Results) -> str:
    families = list(results.courses)
    final = signs(results, lambda course: course.best[-1])
    area = signs(results, lambda course: course.area)
    lines = [
        "| policy | " + " | ".join(f"{f}: final | area" for f in families) + " |",
        "|---" * (1 + 2 * len(families)) + "|",
    ]
    for name in results.courses[families[0]]:
        cells: list[str] = []
        for family in families:
            courses = results.courses[family][name]
            for value, sign in (
                (mean([c.best[-1] for c in courses]), final.get((family, name), "")),
                (mean([c.area for c in courses]), area.get((family, name), "")),
            ):
                cells.append(f"{value:.3f} {sign}".strip())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(results: Results, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    count = len(results.courses)
    figure, axes = pyplot.subplots(1, count, figsize=(3.2 * count, 3.0), squeeze=False)
    for axis, (family, by_policy) in zip(axes[0], results.courses.items(), strict=True):
        for name, courses in by_policy.items():
            curve = [mean(points) for points in zip(*(c.best for c in courses), strict=True)]
            axis.plot(curve, label=name, linewidth=2.0 if name == OURS else 1.0)
        axis.set_title(family, fontsize=9)
        axis.set_xlabel("evaluations", fontsize=8)
        axis.tick_params(labelsize=7)
    axes[0][0].set_ylabel("share of the gap closed", fontsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), fontsize=7)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(path, dpi=80)


def cost(policies: Sequence[str], attempts: int) -> str:
    """Policy and graph alone: CPU milliseconds per attempt, over the last thousand."""
    lines = [f"| policy | CPU ms per attempt at {attempts} |", "|---|---|"]
    for name in policies:
        problem = Multimodal("rastrigin", 10, random.Random("cost"), failing=0.1)
        cpu_s = search(policy_named(name, 0), Pure(problem), attempts, 0).cpu_s
        last = min(1000, attempts - 1)
        lines.append(f"| {name} | {1000.0 * (cpu_s[-1] - cpu_s[-1 - last]) / last:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--split", choices=["tuning", "report"], default="report")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--families", nargs="*", default=[], choices=[*REPORT, LIBRARY])
    parser.add_argument("--policies", nargs="*", default=[*BUILT_IN, *PEERS])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--save", type=Path, help="areas and final scores as JSON")
    parser.add_argument("--cost", type=int, help="attempts; measures CPU time instead")
    args = parser.parse_args()
    if args.cost:
        print(cost([name for name in args.policies if name in BUILT_IN], args.cost))
        return
    started = time.monotonic()
    results = run(
        args.split, args.families, args.policies, args.seeds, args.evaluations, args.processes
    )
    print(table(results))
    print(f"\n{args.split} split, {args.seeds} seeds, {args.evaluations} evaluations", end=", ")
    print(f"{time.monotonic() - started:.0f} s")
    if args.save:
        document = {
            family: {name: [[c.best[-1], c.area] for c in each] for name, each in by.items()}
            for family, by in results.courses.items()
        }
        args.save.write_text(json.dumps(document), encoding="utf-8")
    if args.plot:
        plot(results, args.plot)


if __name__ == "__main__":
    main()
