"""`harness mlebench`: competitions on disk, demonstrations, whole splits, tables."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from harness.cli.output import JsonFlag, RunsDir, print_json, print_table, runs_folder
from harness.clock import SystemClock
from harness.errors import UserError
from harness.events import SCHEMA_VERSION
from harness.run.folder import find_run, live_process
from harness.run.mlebench import finish, origin_of
from harness.run.mlebench_group import Group, present, read_reports
from harness.run.mlebench_table import render, summary
from harness.run.prepare import saved_task
from harness.run.views import read_run
from harness.tasks.mlebench.demo import make_demos
from harness.tasks.mlebench.grading import grade_submission
from harness.tasks.mlebench.layout import (
    INSTALL,
    default_data_dir,
    find_competition,
    package_folder,
    problems,
)
from harness.tasks.mlebench.registry import KNOWN_LEAKS, METRICS, SPLITS, Split, complexity

EXIT_USER = 2
DataDir = Annotated[
    str | None,
    Parameter(name="--data-dir", help="Folder of the competitions; by default the benchmark's."),
]
SplitFlag = Annotated[Split, Parameter(help="low, medium, high, lite, all, dev or demo.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """Handed on to each launch."""

    hours: float | None = None
    """Budget of each run: wall time in hours."""
    evals: int | None = None
    """Budget of each run: evaluations."""
    budget_usd: float | None = None
    """Budget of each run: US dollars for model calls."""
    agents: int | None = None
    """Agents of each run."""
    slots: int | None = None
    """Evaluations at once of each run."""
    gpus: float | None = None
    """GPUs of each evaluation."""
    model: str | None = None
    """Model name at an OpenAI-compatible endpoint."""
    agent: str | None = None
    """offline, llm, pipeline, command, or package.module:Class."""
    sandbox: str | None = None
    """auto, docker, bubblewrap or process."""
    memory: str | None = None
    """run, task or global; run by default, so that seeds know nothing of one another."""
    allow_self_reported: Annotated[bool, Parameter(negative=())] = False
    """Run on scores that candidates report of themselves; marked as such."""

    def words(self) -> list[str]:
        """The flags of `harness launch`."""
        words = ["--allow-self-reported"] if self.allow_self_reported else []
        given = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "allow_self_reported"
        } | {"memory": self.memory or "run"}
        for name, value in given.items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return words


DEFAULTS = GroupOptions()
app = cyclopts.App(name="mlebench", help="Competitions of MLE-bench.")


def data_folder(given: str | None) -> Path:
    """The folder a flag names, else where the benchmark's package keeps its data."""
    return Path(given).expanduser().absolute() if given else default_data_dir()


@app.command(name="list")
def list_competitions(
    *, split: SplitFlag = "all", data_dir: DataDir = None, json: JsonFlag = False
) -> None:
    """Competitions of a split, and which are on disk."""
    folder = data_folder(data_dir)
    found = [
        {
            "id": name,
            "complexity": complexity(name),
            "metric": METRICS.get(name),
            "on_disk": (folder / name / "prepared" / "public").is_dir(),
            "known_leak": name in KNOWN_LEAKS,
        }
        for name in SPLITS[split]
    ]
    if json:
        print_json({"schema_version": SCHEMA_VERSION, "competitions": found})
        return
    print_table(
        ("id", "complexity", "own metric", "on disk"),
        ((c["id"], c["complexity"], c["metric"], "yes" if c["on_disk"] else "no") for c in found),
    )


@app.command
def check(competition: str, /, *, data_dir: DataDir = None) -> int:
    """Say what of a competition is missing on disk; exit code 2 when it cannot be run."""
    found = find_competition(competition, data_folder(data_dir))
    told = list(problems(found))
    for problem in told:
        print(problem)
    fatal = [each for each in told if "medals" not in each]
    if not fatal:
        print(f"{competition}: ready")
    return EXIT_USER if fatal else 0


@app.command
def prepare(competition: str, /, *, data_dir: DataDir = None) -> int:
    """Download and prepare a competition with the benchmark's own package."""
    if package_folder() is None:
        raise UserError(
            "the package mlebench is not installed",
            expected="the benchmark's package in this Python, and ~/.kaggle/kaggle.json",
            action=INSTALL,
        )
    folder = data_folder(data_dir)
    command = ["mlebench", "prepare", "-c", competition, "--data-dir", str(folder)]
    return subprocess.run([str(Path(sys.executable).parent / "mlebench"), *command[1:]]).returncode


@app.command
def demo(*, data_dir: DataDir = None) -> None:
    """Make three small competitions from data sets that ship in scikit-learn; no download."""
    folder = data_folder(data_dir)
    for made in make_demos(folder):
        print(f"harness launch mlebench:{made.name} --data-dir {folder}")


@app.command
def grade(competition: str, submission: str, /, *, data_dir: DataDir = None) -> int:
    """Grade a submission on the held-out test; the report has the benchmark's keys."""
    found = find_competition(competition, data_folder(data_dir))
    report = grade_submission(found, Path(submission))
    print_json(report)
    return 0 if report["valid_submission"] else 3


@app.command(name="finish")
def finish_run(run: str = "latest", /, *, runs_dir: RunsDir = None) -> None:
    """Grade a run whose end was cut off before its submission was graded."""
    folder = find_run(run, runs_folder(runs_dir))
    task = saved_task(folder, SystemClock())
    if origin_of(task) is None or live_process(folder) or read_run(folder).reason is None:
        raise UserError(
            f"run {folder.id} is not a competition's run that has ended",
            expected="a run of mlebench:ID whose budget is spent",
            action=f"harness resume {folder.id}",
        )
    print_json(asyncio.run(finish(folder, task, SystemClock())))


@app.command(name="run")
def run_group(
    options: GroupOptions = DEFAULTS,
    *,
    split: SplitFlag = "lite",
    seeds: Annotated[int, Parameter(help="Runs of each competition.")] = 3,
    parallel: Annotated[int, Parameter(help="Runs at once.")] = 1,
    data_dir: DataDir = None,
    to: Annotated[str, Parameter(help="Folder of the whole; the same again goes on.")],
) -> int:
    """Run a whole split; interrupted, the same command goes on where it was."""
    if seeds < 1 or parallel < 1:
        raise UserError(
            f"--seeds {seeds} --parallel {parallel}", expected="1 or more", action="correct them"
        )
    folder = data_folder(data_dir)
    ready, missing = present(SPLITS[split], folder)
    for name, why in missing.items():
        print(f"skipped {name}: {why}")
    group = Group(Path(to).expanduser().absolute(), folder, options.words())
    failed = group.run([(name, seed) for name in ready for seed in range(seeds)], parallel)
    for seed in range(seeds):
        print(f"submissions of seed {seed}: {group.write_layout(seed)}")
    for (name, seed), why in failed.items():
        print(f"failed {name}, seed {seed}: {why}")
    print(f"harness mlebench report {to}")
    return 1 if failed else 0


@app.command
def report(folder: str, /, *, json: JsonFlag = False) -> None:
    """The leaderboard's table of a group of runs."""
    reports = read_reports(Path(folder).expanduser())
    if json:
        print_json({"schema_version": SCHEMA_VERSION, **summary(reports)})
    else:
        print("\n".join(render(summary(reports))))
