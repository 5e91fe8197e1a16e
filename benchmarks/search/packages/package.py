"""One search by a package: its own process and environment, the suite's model and score."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.search.drive import Course
from benchmarks.search.packages.dialects import Dialect
from benchmarks.search.packages.inside import URL
from benchmarks.search.packages.server import ModelServer, curve
from benchmarks.search.packages.source import source
from benchmarks.search.problems import Problem

from harness.errors import UserError

TIME_LIMIT_S = 3600.0
"""Of one search; ShinkaEvolve starts a process for every evaluation."""
TAIL = 3000
"""Characters of a failed package's output that are shown."""
INSIDE = Path(__file__).with_name("inside.py")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a package is started for. `folder` is empty and its own."""

    folder: Path
    venv: Path
    url: str
    program: str
    """The seed's source."""
    evaluations: int
    """The seed's among them."""
    seed: int


class Package(Protocol):
    distribution: str
    """Its name for pip."""

    @property
    def dialect(self) -> Dialect: ...

    def prepare(self, assignment: Assignment) -> Sequence[str]:
        """Write what it needs into the folder; the command that runs the search."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    course: Course
    evaluations: int
    """That were made, those beyond the number that counts included."""
    proposals: int
    """That the proposer was asked for."""
    cpu_s: float
    """CPU time of all its processes, from its start to its end."""


def installed_version(distribution: str, venv: Path) -> str:
    """The version of a package in an environment.

    Raises:
        UserError: When it isn't installed there.
    """
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    python = venv / "bin" / "python"
    if python.exists():
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    raise UserError(
        f"{distribution} is not installed in {venv}",
        expected="a virtual environment of its own with it, named by --venv",
        action=f"python -m venv {venv} && {venv}/bin/pip install {distribution}",
    )


def run_package(
    package: Package, venv: Path, problem: Problem, evaluations: int, seed: int
) -> Outcome:
    """One search.

    Raises:
        RuntimeError: When the package fails, asks what it shouldn't, or evaluates nothing.
        subprocess.TimeoutExpired: After `TIME_LIMIT_S`.
    """
    rng = random.Random(f"proposer:{seed}")
    with (
        tempfile.TemporaryDirectory(prefix="search-package-") as name,
        ModelServer(problem, package.dialect, rng) as server,
    ):
        folder = Path(name)
        program = source(problem.seed)
        command = package.prepare(
            Assignment(folder, venv.absolute(), server.url, program, evaluations, seed)
        )
        spent = _children_cpu_s()
        code, words = _run(command, folder, _environment(folder, venv.absolute(), server.url))
        spent = _children_cpu_s() - spent
    if code or server.refused or not server.scores:
        raise RuntimeError(
            f"{package.distribution}: exit {code}, {len(server.scores)} evaluations, "
            f"refused {server.refused[:1]}\n{words}"
        )
    course = curve(server.scores, evaluations)
    return Outcome(course, len(server.scores), server.proposals, spent)


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and last words. What it leaves running is ended with it."""
    with (
        (folder / "output.log").open("w+", encoding="utf-8") as output,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait(TIME_LIMIT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing is left
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        return code, output.read()[-TAIL:]


def _children_cpu_s() -> float:
    """CPU time of the processes that have ended and were waited for, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment(folder: Path, venv: Path, url: str) -> dict[str, str]:
    """Nothing of ours but the path: whatever speaks to a model by default finds the server."""
    return {
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_BASE": url,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OMP_NUM_THREADS": "1",
        URL: url,
    }
