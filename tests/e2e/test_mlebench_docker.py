"""A split under Docker, killed and resumed: canaries in every `private/` are seen nowhere else."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
from requests.exceptions import RequestException
from tests.e2e.conftest import Cli
from urllib3.exceptions import HTTPError

from harness.run.folder import RunFolder, live_process
from harness.run.views import read_run
from harness.tasks.mlebench.demo import DEMOS, make_demos
from harness.tasks.mlebench.layout import find_competition
from harness.tasks.mlebench.native import native_task

CANARY = "canary-7be2a94c-held-out"
MARKER = "marker-1d60c3f5-public"
"""In the public data: what is searched for canaries must show this."""
SEEDS = 2
EVALUATIONS = 2
GONE = (404, 409)
"""How the daemon answers for a container that has ended."""
TRIES = 20
"""At a place whose files change while the daemon packs them."""
SPY = """\
import os, sys
names = ("canary.txt", "answers.csv", "leaderboard.csv", "private", "prepared")
seen = [os.path.join(a, n) for a, b, c in os.walk("/") for n in (*b, *c) if n in names
        and not a.startswith(("/proc", "/sys", "/usr", "/etc"))]
raise SystemExit(f"found {len(seen)} {seen[:5]}")
"""
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstrations with canaries: beside the test's answers and beside the hidden labels."""
    folder = tmp_path_factory.mktemp("data")
    folder.chmod(0o755)
    make_demos(folder)
    for demo in DEMOS:
        (folder / demo.id / "prepared" / "public" / "notes.txt").write_text(MARKER)
        task = native_task(find_competition(demo.id, folder)).folder
        for private in (folder / demo.id / "prepared" / "private", task / "private"):
            (private / "canary.txt").write_text(CANARY)
    return folder


class Watcher(threading.Thread):
    """Reads the file systems of agents' and candidates' containers while runs last.

    What a container was given is in its mounts, which are read in each one that is met: the rest is
    its image's, and cannot be written to. Of an agent's, which lives long enough, all is read once.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._client = docker.from_env()
        self._ended = threading.Event()
        self._seen: set[str] = set()
        self._whole = False
        self.read: list[tuple[str, str]] = []
        """Purpose and place of everything that was read to its end and showed what it must hold."""
        self.leaks: list[str] = []
        self.writable: list[str] = []
        self.troubles: list[Exception] = []

    def run(self) -> None:
        while not self._ended.wait(0.2):
            # Those that end while they are listed are left out.
            for container in self._client.containers.list(
                filters={"label": "harness.sandbox"}, ignore_removed=True
            ):
                purpose = container.labels["harness.sandbox"]
                if purpose in ("agent", "produce") and container.id not in self._seen:
                    self._seen.add(str(container.id))
                    self._look(container, purpose)

    def stop(self) -> None:
        self._ended.set()
        self.join()
        self._client.close()

    def _look(self, container: Any, purpose: str) -> None:
        if not container.attrs["HostConfig"]["ReadonlyRootfs"]:
            self.writable.append(purpose)
        for mount in container.attrs["Mounts"]:
            place = mount["Destination"]
            self._read(container, purpose, place, MARKER if place == "/data" else "")
        if purpose == "agent" and not self._whole:
            self._whole = self._read(container, purpose, "/", "etc/passwd")

    def _read(self, container: Any, purpose: str, place: str, control: str) -> bool:
        """Search one place; whether it could be read to its end.

        The daemon fails over files that change or go while it packs them, and over containers that
        end meanwhile: the first are tried again, of the second there are others.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                whole = place == "/"
                stream = container.export() if whole else container.get_archive(place)[0]
                self._search(purpose, place, stream, control)
            except (RequestException, HTTPError) as error:  # before the stream begins, and in it
                gone = isinstance(error, docker.errors.APIError) and error.status_code in GONE
                if gone or not self._runs(container):
                    return False
                if not tries_left:
                    self.troubles.append(error)
            else:
                return True
        return False

    def _runs(self, container: Any) -> bool:
        try:
            container.reload()
        except docker.errors.APIError:
            return False
        return bool(container.status == "running")

    def _search(self, purpose: str, place: str, stream: Iterator[bytes], control: str) -> None:
        """Look for canary and control in a tar stream, over the borders of its parts."""
        before, shown = b"", not control
        for part in stream:
            joined = before + part
            if CANARY.encode() in joined:
                self.leaks.append(f"{purpose}: {place}")
            shown = shown or control.encode() in joined
            before = joined[-max(len(CANARY), len(MARKER)) :]
        if shown:
            self.read.append((purpose, place))


def test_a_split_is_killed_resumed_and_no_canary_is_seen(cli: Cli, data: Path) -> None:
    group = cli.folder / "group"
    command = (
        "mlebench", "run", "--split", "demo", "--seeds", str(SEEDS), "--parallel", "2",
        "--data-dir", str(data), "--to", str(group), "--evals", str(EVALUATIONS), "--agents", "1",
        "--slots", "1", "--agent", "offline", "--sandbox", "docker", "--memory", "global",
    )  # fmt: skip
    watcher = Watcher()
    watcher.start()
    try:
        process = cli.start(*command)
        killed = _kill_one(group, process)
        out, _ = process.communicate()
        assert process.returncode == 1
        assert f"failed {killed.path.parent.parent.name}" in out
        cli(*command)
    finally:
        watcher.stop()
    content = cli.json("mlebench", "report", str(group))
    assert content["seeds"] == list(range(SEEDS))
    assert {c["id"]: c["runs"] for c in content["competitions"]} == {d.id: SEEDS for d in DEMOS}
    assert content["valid"] == {"mean": 100.0, "sem": 0.0}
    runs = [RunFolder(path.parent) for path in group.glob("work/*/*/[!.]*/run.db")]
    assert len(runs) == SEEDS * len(DEMOS)
    for run in runs:
        view = read_run(run)
        assert view.config.sandbox.provider == "docker"
        assert view.evaluations == EVALUATIONS, "a kill costs no evaluation"
    assert (watcher.troubles, watcher.writable) == ([], [])
    assert ("agent", "/") in watcher.read
    assert {purpose for purpose, place in watcher.read if place == "/data"} == {"agent", "produce"}
    assert watcher.leaks == []
    _assert_absent(cli, group, runs, data)


def _kill_one(group: Path, process: subprocess.Popen[str]) -> RunFolder:
    """SIGKILL the first run that has scored its seed and has evaluations left."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        for database in group.glob("work/*/seed-*/[!.]*/run.db"):
            folder = RunFolder(database.parent)
            pid = live_process(folder)
            if pid is not None and read_run(folder).evaluations == 1:
                os.kill(pid, signal.SIGKILL)
                return folder
        time.sleep(0.05)
    raise AssertionError("no run was seen with an evaluation left")


def _assert_absent(cli: Cli, group: Path, runs: list[RunFolder], data: Path) -> None:
    """Neither canary nor answers in what runs, agents and memory left, or in public data."""
    memory = Path(cli.environment["HARNESS_MEMORY"])
    assert (memory / "memory.db").is_file(), "the memory was not where it is searched"
    places = [group, memory, *data.glob("*/harness/*/search"), *data.glob("*/harness/*/final")]
    places += [*data.glob("*/harness/*/task/knowledge"), *data.glob("*/harness/*/task/seed")]
    answers = [path.read_bytes() for path in data.glob("*/prepared/private/*.csv")]
    answers += [path.read_bytes() for path in data.glob("*/harness/*/task/private/answers.csv")]
    assert len(answers) == 2 * len(DEMOS)
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    transcripts = [file for file in files if file.parent.name == "transcripts"]
    assert len(transcripts) >= len(runs)
    for file in files:
        content = file.read_bytes()
        assert CANARY.encode() not in content, file
        for secret in answers:
            assert secret not in content, file
    for run in runs:
        git = ["git", "-c", "safe.directory=*", "--git-dir", str(run.repository), "cat-file"]
        unpacked = subprocess.run(
            [*git, "--batch-all-objects", "--batch"], check=True, capture_output=True
        ).stdout
        assert unpacked
        assert CANARY.encode() not in unpacked


def test_a_candidate_that_looks_for_answers_finds_none(cli: Cli, data: Path) -> None:
    task = native_task(find_competition("demo-diabetes", data)).folder
    (spy := cli.folder / "spy").mkdir()
    (spy / "solve.py").write_text(SPY)
    verdict = cli.json("eval", str(task), str(spy), "--sandbox", "docker", code=3)
    assert "found 0 []" in verdict["feedback"], verdict
