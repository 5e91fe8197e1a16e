"""The command line as a subprocess, with a memory and a folder of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HARNESS = Path(sys.executable).parent / "harness"
TIMEOUT_S = 240.0


@dataclass
class Cli:
    """Runs `harness` in a folder; everything it starts is ended with the test."""

    folder: Path
    environment: dict[str, str]
    live: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run to the end and check the exit code."""
        done = subprocess.run(
            [HARNESS, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        said = f"{arguments}\nstdout: {done.stdout[-3000:]}\nstderr: {done.stderr[-3000:]}"
        assert done.returncode == code, said
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The one document that `--json` prints."""
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def launch(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """The records of a launch or a resume."""
        lines = self(*arguments, "--json", code=code).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start without waiting."""
        process = subprocess.Popen(
            [HARNESS, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.live.append(process)
        return process


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A command line with empty folders for runs and memory."""
    kept = ("PATH", "HOME", "LANG", "DOCKER_HOST", "HARNESS_REQUIRE_DOCKER")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment["HARNESS_MEMORY"] = str(tmp_path / "memory")
    # Of its own: a task that must run alone is not to hold up what runs beside the tests.
    environment["HARNESS_EVALUATORS__LEASE_DIR"] = str(tmp_path / "leases")
    # A model that answers by rote has nothing to say of what was learnt.
    environment["HARNESS_MEMORY__DISTIL_BY_MODEL"] = "false"
    folder = tmp_path / "work"
    folder.mkdir()
    runner = Cli(folder, environment)
    yield runner
    for process in runner.live:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
