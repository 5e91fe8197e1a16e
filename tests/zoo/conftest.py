"""What every attack is tried in, and what must be as before when it is over."""

import asyncio
import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.zoo.attack import CANARY, HONEST, SUCCESS, make_task, plant

from harness.attempt import Verdict
from harness.evaluators.base import EvaluationJob, Evaluator
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.kinds import make_evaluator
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.base import Limits, SandboxProvider
from harness.sandbox.bubblewrap import BubblewrapProvider
from harness.sandbox.config import SandboxConfig
from harness.sandbox.docker import DockerProvider
from harness.sandbox.docker_client import connect
from harness.sandbox.liveness import identity
from harness.sandbox.local import PREFIX
from harness.sandbox.tree import TreeFile
from harness.sandbox.uids import AGENT_UID

SANDBOXES = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
]
HERE = Path(__file__).parent
RESULTS = Path(os.environ.get("ZOO_RESULTS", "zoo-results.json"))
LIMITS = Limits(
    memory_bytes=256 * 2**20,
    pids=64,
    disk_bytes=64 * 2**20,
    inodes=5000,
    file_bytes=48 * 2**20,
    scratch_bytes=32 * 2**20,
)
LEFTOVERS_S = 3.0
"""Nothing outlives its end by more than that."""
HOST_BYTES = 1 << 30
"""Memory of the harness and disk of the host: below this, whatever an attack does."""
LEFT_ON_HOST = Path("/tmp/zoo-was-here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # of the whole session
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.zoo)


class Surroundings:
    """The host around an evaluator: processes of sandboxes, containers, folders, memory, disk."""

    def __init__(self, run: str, scratch: Path) -> None:
        self._run = run
        self._scratch = scratch
        self._before = self._now()
        self._free = shutil.disk_usage("/").free
        self._resident = _resident()

    def _now(self) -> set[str]:
        containers = _containers(self._run)
        found = {f"process {pid} {what}" for pid, what in _processes(containers)}
        found |= {f"folder {path}" for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/")}
        found = {each for each in found if not each.startswith("folder") or _made_by_us(each[7:])}
        found |= {f"scratch {path}" for path in self._scratch.glob("*")}
        return found | {f"container {each[:12]}" for each in containers}

    async def check(self) -> None:
        """Everything is as before within three seconds, and nothing grew beyond its bounds."""
        deadline = time.monotonic() + LEFTOVERS_S
        while (left := await asyncio.to_thread(self._now) - self._before) and (
            time.monotonic() < deadline
        ):
            await asyncio.sleep(0.1)
        assert not left
        assert not LEFT_ON_HOST.exists()
        assert self._free - shutil.disk_usage("/").free < HOST_BYTES
        assert _resident() - self._resident < HOST_BYTES // 8


class Target:
    """An evaluator that is attacked, with what was planted around it."""

    def __init__(
        self, evaluator: Evaluator, planted: list[str], run: str, scratch: Path, port: int
    ) -> None:
        self._evaluator = evaluator
        self.planted = planted
        self.port = port
        self.run = run
        self.scratch = scratch
        self.surroundings: Surroundings | None = None

    async def verdict(self, files: dict[str, str]) -> Verdict:
        """Score a candidate that has `honest.py` and the listening port beside it."""
        tree = {
            name: TreeFile(text.encode())
            for name, text in {**files, "honest.py": HONEST, "port.txt": str(self.port)}.items()
        }
        labels = {"harness.run": self.run}
        job = EvaluationJob(AttemptId("1"), FilesSubmission(tree, uuid4().hex), labels=labels)
        verdict = await self._evaluator.evaluate(job)
        self.nothing_leaked(json.dumps(asdict(verdict), default=str))
        return verdict

    async def honest(self) -> Verdict:
        return await self.verdict({"solve.py": HONEST})

    def nothing_leaked(self, text: str) -> None:
        assert SUCCESS not in text, text
        assert not re.search(CANARY + "[0-9a-f]{16}", text), text
        assert not [secret for secret in self.planted if secret in text]


@pytest.fixture(scope="session")
def planted() -> Generator[list[str]]:
    """Secrets of the host: in our environment, in a file, and listening on its loopback."""
    secrets = [plant(), plant()]
    os.environ["ZOO_API_KEY"] = secrets[0]
    with tempfile.TemporaryDirectory(prefix="zoo-host-") as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "secret.txt"
        file.write_text(secrets[1], encoding="utf-8")
        file.chmod(0o644)
        yield secrets
    del os.environ["ZOO_API_KEY"]


@pytest.fixture(scope="session")
def port() -> Generator[int]:
    """A service on the host's loopback, and one with an abstract name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = int(server.getsockname()[1])
        with socket.socket(socket.AF_UNIX) as named:
            named.bind(f"\0zoo-abstract-{number}")
            named.listen()
            yield number


@pytest.fixture(scope="session")
def results() -> Generator[dict[str, dict[str, str]]]:
    """What was seen, by attack and sandbox; written for the published table."""
    seen: dict[str, dict[str, str]] = {}
    if RESULTS.exists():  # so that a part of the zoo can be run again
        seen = json.loads(RESULTS.read_text(encoding="utf-8"))
    yield seen
    RESULTS.write_text(json.dumps(seen, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def open_provider(name: str, executor: Executor) -> SandboxProvider:
    kind: Callable[..., SandboxProvider] = (
        DockerProvider if name == "docker" else BubblewrapProvider
    )
    return kind(SandboxConfig(provider=name), executor)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SANDBOXES)
async def target(
    request: pytest.FixtureRequest, planted: list[str], port: int
) -> AsyncGenerator[Target]:
    name: str = request.param
    run = f"zoo-{uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(8) as executor:
        base = Path(folder)
        base.chmod(0o711)
        secrets = list(planted)
        task = make_task(base / "task", ("python", "solve.py"), secrets)
        provider = open_provider(name, executor)
        context = EvaluatorContext(
            task, provider, LIMITS, None, base / "scratch", executor, {"harness.run": run}
        )
        evaluator = make_evaluator(context)
        made = Target(evaluator, secrets, run, base / "scratch", port)
        # The judge's sandbox is kept for all verdicts: it is part of what was there before.
        verdict = await made.honest()
        assert verdict.score is not None, verdict
        await asyncio.sleep(LEFTOVERS_S / 2)
        made.surroundings = Surroundings(run, base / "scratch")
        yield made
        await evaluator.close()
        await provider.close()


def _containers(run: str) -> list[str]:
    if not os.environ.get("DOCKER_HOST"):
        return []
    client = connect(timeout_s=20)
    with closing(client):
        label: dict[str, str | list[str] | bool] = {"label": f"harness.run={run}"}
        # Not the client's objects: each would be asked after, and may be gone by then.
        found = cast("list[dict[str, Any]]", client.api.containers(all=True, filters=label))
        return [str(each["Id"]) for each in found]


def _processes(containers: list[str]) -> Generator[tuple[int, str]]:
    """Those of users that only sandboxes have, unless another live process started them."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if AGENT_UID <= entry.stat().st_uid < 65_520 and _ours(int(entry.name), containers):
                yield int(entry.name), (entry / "comm").read_text(errors="replace").strip()
        except OSError:
            continue


def _ours(pid: int, containers: list[str]) -> bool:
    """In one of our containers, started by us, or an orphan, which may be ours."""
    groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii", errors="replace")
    if named := re.findall("[0-9a-f]{64}", groups):
        return bool(set(named) & set(containers))
    ancestors: set[int] = set()
    while pid > 1:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        pid = int(stat.rpartition(")")[2].split()[1])
        ancestors.add(pid)
    return os.getpid() in ancestors or ancestors <= {0, 1}


def _made_by_us(folder: str) -> bool:
    try:
        record = json.loads((Path(folder) / "owner.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(record["owner"] == identity())


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
