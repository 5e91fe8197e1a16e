"""The published packages themselves, with the suite's proposer as their model.

    python -m venv DIR && DIR/bin/pip install openevolve
    python -m benchmarks.search.packages --venv DIR --package openevolve
        [--families rastrigin10 ackley50 deceptive] [--seeds 5] [--evaluations 100]
        [--policies progressive greedy OpenEvolve] [--processes 1] [--save FILE.json]
    python -m benchmarks.search.packages --table FILE.json …

Prints a Markdown table: share of the gap between seed and optimum that is closed at the end and on
average over the run (area), as `benchmarks.search`, with their standard deviations over seeds;
evaluations and proposals of a search, and CPU time per evaluation. A package is a process in its
own environment; its CPU time is that of all its processes from start to end, the time of our
policies that of policy and graph alone. `--table` prints one table of what was saved.

The control runs our policies (and the published rules written anew) on the same problems over the
same server: each of their courses must be the suite's own to the last digit, or this fails.
Without `--package` there is only the control.
"""

import argparse
import random
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.search.__main__ import PEERS, SUITES, course, policy_named
from benchmarks.search.__main__ import Job as SuiteJob
from benchmarks.search.packages.control import search_over_http
from benchmarks.search.packages.gepa import GepaPackage
from benchmarks.search.packages.openevolve import CIRCLE_PACKING, OpenEvolvePackage
from benchmarks.search.packages.package import Outcome, Package, installed_version, run_package
from benchmarks.search.packages.report import Search, load, save, table
from benchmarks.search.packages.shinka import ShinkaPackage
from benchmarks.search.problems import Problem

from harness.errors import UserError
from harness.search.policies import BUILT_IN

PACKAGES: dict[str, Callable[[], Package]] = {
    "openevolve": lambda: OpenEvolvePackage({}),
    "openevolve-circles": lambda: OpenEvolvePackage(CIRCLE_PACKING),
    "shinka": ShinkaPackage,
    "gepa": lambda: GepaPackage(cached=False),
    "gepa-cached": lambda: GepaPackage(cached=True),
}
FAMILIES: dict[str, tuple[str, str, int]] = {
    "rastrigin10": ("tuning", "multimodal", 0),
    "rastrigin20": ("report", "multimodal", 0),
    "ackley50": ("report", "multimodal", 1),
    "griewank10": ("report", "multimodal", 2),
    "deceptive": ("report", "deceptive", 0),
    "halves": ("report", "halves", 0),
}
"""Split, family and number of the suite's problems: those without failures and noise."""


class Job(NamedTuple):
    """`venv` is None for a policy."""

    search: Search
    venv: Path | None
    evaluations: int


def problem_of(family: str, seed: int) -> Problem:
    """The suite's own instance for a seed."""
    split, group, number = FAMILIES[family]
    return SUITES[split][group][number](random.Random(f"{split}:{group}:{number}:{seed}"))


def outcome(job: Job) -> Outcome:
    """One search of a package, or of a policy as the control.

    Raises:
        RuntimeError: When the control's course isn't the suite's.
    """
    (name, family, seed), venv, evaluations = job
    problem = problem_of(family, seed)
    if venv is not None:
        return run_package(PACKAGES[name](), venv, problem, evaluations, seed)
    found = search_over_http(policy_named(name, seed), problem, evaluations, seed)
    split, group, number = FAMILIES[family]
    own = course(SuiteJob(split, group, number, seed, name, evaluations))
    if found.best != own.best:
        raise RuntimeError(f"{job.search} over HTTP is not the suite's")
    return Outcome(found, evaluations, evaluations - 1, found.cpu_s[-1])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search.packages")
    parser.add_argument("--package", choices=list(PACKAGES))
    parser.add_argument("--venv", type=Path, help="the virtual environment that has the package")
    families = ["rastrigin10", "ackley50", "deceptive"]
    parser.add_argument("--families", nargs="*", default=families, choices=list(FAMILIES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=100, help="the seed's among them")
    policies = ["progressive", "greedy", "OpenEvolve"]
    parser.add_argument("--policies", nargs="*", default=policies, choices=[*BUILT_IN, *PEERS])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--save", type=Path, help="every best-so-far curve as JSON")
    parser.add_argument("--table", type=Path, nargs="+", help="what was saved; nothing is run")
    return parser.parse_args()


def searchers(args: argparse.Namespace) -> dict[str, Path | None]:
    """What searches, with the environment of a package.

    Raises:
        UserError: Without anything, or without the package.
    """
    found: dict[str, Path | None] = dict.fromkeys(args.policies)
    if args.package:
        if args.venv is None:
            raise UserError(
                "--package without --venv",
                expected="the virtual environment that has the package",
                action=f"--venv DIR; python -m venv DIR makes one for {args.package}",
            )
        distribution = PACKAGES[args.package]().distribution
        print(distribution, installed_version(distribution, args.venv), end=", ")
        found = {args.package: args.venv, **found}
    if not found:
        raise UserError(
            "nothing to run",
            expected="a package, policies or both",
            action="--package NAME --venv DIR, or --policies NAME …",
        )
    return found


def run(args: argparse.Namespace) -> None:
    """Searches, and prints what they found.

    Raises:
        UserError: Without anything to run.
    """
    names = searchers(args)
    print(f"{args.seeds} seeds, {args.evaluations} evaluations\n", flush=True)
    jobs = [
        Job(Search(name, family, seed), venv, args.evaluations)
        for name, venv in names.items()
        for family in args.families
        for seed in range(args.seeds)
    ]
    with ProcessPoolExecutor(args.processes) as pool:
        found = pool.map(outcome, jobs)
        outcomes = dict(zip([job.search for job in jobs], found, strict=True))
    if args.save:
        save(outcomes, args.save)
    print(table(outcomes))
    if args.policies:
        print(f"\nOver HTTP as in the suite: {', '.join(args.policies)}")


def main() -> int:
    try:
        args = arguments()
        if args.table:
            print(table(load(args.table)))
        else:
            run(args)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
