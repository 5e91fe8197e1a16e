"""The Docker daemon is killed, or hangs, under a live run: nothing is lost, and the run goes on.

With a daemon of its own, into which the base image is copied from the one that answers.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
from tests.e2e.conftest import Cli

from harness.sandbox.config import DEFAULT_IMAGE
from harness.sandbox.docker_client import connect

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]

DAEMON = Path(__file__).parents[2] / ".ci" / "dockerd"
PATIENCE_S = 120.0


class Daemon:
    """A Docker daemon that can be killed, stopped and started."""

    def __init__(self, root: Path) -> None:
        self._name = f"harness-fault-{uuid4().hex[:8]}"
        self._root = root
        self.address = self.start()

    def start(self) -> str:
        done = subprocess.run(
            [DAEMON, "start", self._name, self._root],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def signal(self, number: signal.Signals) -> None:
        os.kill(int(Path(f"/run/{self._name}/docker.pid").read_text(encoding="ascii")), number)

    def stop(self) -> None:
        subprocess.run([DAEMON, "stop", self._name], timeout=PATIENCE_S, check=False)
        # A daemon that was killed leaves what it had mounted.
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
            place = line.split()[1]
            if place.startswith((f"{self._root}/", f"/run/{self._name}/")) or place == str(
                self._root
            ):
                subprocess.run(["umount", "--lazy", place], check=False)

    def load(self, image: str) -> None:
        """Copy an image from the daemon that the environment names."""
        with closing(connect()) as source, closing(self.client()) as ours:
            data: Any = source.images.get(image).save(named=True)
            ours.images.load(data)

    def client(self) -> docker.DockerClient:
        return connect(self.address)

    def containers(self) -> list[str]:
        with closing(self.client()) as client:
            return [each.name or "" for each in client.containers.list(all=True)]

    def described(self) -> list[Any]:
        """What is known of the containers that are there."""
        with closing(self.client()) as client:
            found = client.containers.list(all=True)
            return [(each.status, each.labels, each.attrs["Config"]["Cmd"]) for each in found]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    if os.getuid() != 0:
        pytest.skip("starting a Docker daemon needs root")
    made = Daemon(tmp_path_factory.mktemp("dockerd"))
    try:
        made.load(DEFAULT_IMAGE)
        yield made
    finally:
        made.stop()


Launch = Callable[..., subprocess.Popen[str]]


@contextmanager
def trouble(daemon: Daemon, cli: Cli, name: str) -> Generator[Launch]:
    """Launches offline agents under the daemon that is to be hurt, in a folder of its own."""
    cli.folder = cli.folder.parent / name
    cli.folder.mkdir()
    memory = str(cli.folder / "memory")
    cli.environment |= {"DOCKER_HOST": daemon.address, "HARNESS_MEMORY": memory}

    def launch(*options: str) -> subprocess.Popen[str]:
        return cli.start(
            "launch", "circle_packing", "--agents", "3", "--sandbox", "docker", "--json", *options
        )

    yield launch
    assert daemon.containers() == [], daemon.described()


def until(cli: Cli, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            status: dict[str, Any] = cli.json("status", "latest")
        except AssertionError:  # there is no run yet
            status = {}
        if status and condition(status):
            return status
        time.sleep(0.2)
    raise AssertionError("it did not come to that")


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    records: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    return records[-1]


# One test: each of several may be run by another worker, with a daemon of its own, into which
# 900 MB are copied first.
def test_a_daemon_that_is_killed_or_hangs(daemon: Daemon, cli: Cli) -> None:
    with trouble(daemon, cli, "killed") as launch:
        killed_in_mid_evaluation_and_started_again(daemon, cli, launch)
    with trouble(daemon, cli, "hangs") as launch:
        a_daemon_that_hangs(daemon, cli, launch)
    with trouble(daemon, cli, "stopped") as launch:
        a_run_that_is_stopped_in_an_outage_is_resumed(daemon, cli, launch)


def killed_in_mid_evaluation_and_started_again(daemon: Daemon, cli: Cli, launch: Launch) -> None:
    process = launch("--evals", "16")
    before = until(cli, lambda status: status["evaluations"] >= 6)
    daemon.signal(signal.SIGKILL)
    time.sleep(6)
    during = cli.json("status", "latest")
    assert during["evaluations"] <= before["evaluations"] + 3
    daemon.start()
    answered = time.monotonic()
    until(cli, lambda status: status["evaluations"] > during["evaluations"])
    # The promise is ten seconds; the rest is for a machine that does other things as well.
    assert time.monotonic() - answered < 30
    done = finished(process)
    assert (done["reason"], done["evaluations"]) == ("evaluations", 16)
    attempts = cli.json("attempts", "latest")["attempts"]
    judged = [each for each in attempts if each["status"] not in ("duplicate", "queued")]
    assert len(judged) == 16
    assert len({each["commit"] for each in judged}) == 16
    assert not [each for each in judged if each["status"] in ("sandbox_lost", "evaluator_error")]
    warnings = [event for event in cli.json("status", "latest")["events"] if "docker" in str(event)]
    assert any("does not answer" in str(event) for event in warnings)
    assert any("answers again" in str(event) for event in warnings)


def a_daemon_that_hangs(daemon: Daemon, cli: Cli, launch: Launch) -> None:
    process = launch("--evals", "12")
    until(cli, lambda status: status["evaluations"] >= 4)
    daemon.signal(signal.SIGSTOP)
    time.sleep(8)
    daemon.signal(signal.SIGCONT)
    done = finished(process)
    assert (done["reason"], done["evaluations"]) == ("evaluations", 12)


def a_run_that_is_stopped_in_an_outage_is_resumed(daemon: Daemon, cli: Cli, launch: Launch) -> None:
    process = launch("--evals", "14")
    until(cli, lambda status: status["evaluations"] >= 4)
    daemon.signal(signal.SIGKILL)
    time.sleep(3)
    cli("stop", "latest")
    done = finished(process)
    assert done["reason"] == "stopped"
    daemon.start()
    resumed = cli.launch("resume", "latest")
    assert (resumed[-1]["reason"], resumed[-1]["evaluations"]) == ("evaluations", 14)
