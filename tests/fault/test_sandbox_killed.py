"""A harness, or a supervisor, that is killed without warning leaves no process and no folder."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.launch import Execution
from harness.sandbox.layout import PrivateFolders
from harness.sandbox.local import make_request
from harness.sandbox.process import ProcessProvider
from harness.testing.sandbox import host_processes
from harness.testing.sandbox.scripts import DAEMON

HARNESS = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from harness.sandbox.base import Mount, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.providers import open_provider

async def main(name, work, script, marker):
    with ThreadPoolExecutor(2) as executor:
        provider, _ = await open_provider(SandboxConfig(provider=name), executor)
        mounts = (Mount(Path(work), "/work", read_only=False),)
        sandbox = await provider.create(SandboxSpec(purpose="agent", mounts=mounts))
        await sandbox.exec(["python3", "-c", script, marker, "stay"], timeout_s=600)

asyncio.run(main(*sys.argv[1:]))
"""
PATIENCE_S = 60.0


@pytest.fixture
def marker() -> str:
    return f"marker-{secrets.token_hex(8)}"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder for private folders that only this test uses, which any uid can pass through."""
    assert tmp_path.exists()  # pytest makes its own folder before this one takes over
    with tempfile.TemporaryDirectory(prefix="harness-test-") as name:
        Path(name).chmod(0o755)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


def wait_for(marker: str, expected: range) -> None:
    """Wait until so many processes of the machine have the marker."""
    until = time.monotonic() + PATIENCE_S
    while len(host_processes(marker)) not in expected:
        assert time.monotonic() < until, f"{host_processes(marker)}, expected {expected}"
        time.sleep(0.05)


# The harness itself, the command and its two daemons; bubblewrap is there twice.
@pytest.mark.parametrize(
    ("name", "count"),
    [("process", 4), pytest.param("bubblewrap", 6, marks=pytest.mark.bubblewrap)],
)
def test_a_killed_harness_leaves_nothing(
    name: str, count: int, marker: str, temporary: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    harness = subprocess.Popen([sys.executable, "-c", HARNESS, name, work, DAEMON, marker])
    try:
        wait_for(marker, range(count, 100))
    finally:
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    wait_for(marker, range(1))
    assert len(list(temporary.iterdir())) == 1
    with ThreadPoolExecutor(1) as executor:
        provider = ProcessProvider(SandboxConfig(), executor)
        assert asyncio.run(provider.reap()) == 1
    assert list(temporary.iterdir()) == []


async def test_a_killed_supervisor_is_told_and_leaves_nothing(marker: str, tmp_path: Path) -> None:
    # Under the harness's own uid, as for an ordinary user, whose commands can do this.
    spec = SandboxSpec(purpose="agent", mounts=())
    private = PrivateFolders(tmp_path)
    for folder in (private.work, private.home, private.tmp):
        folder.mkdir()
    words = [sys.executable, "-c", DAEMON, marker, "stay"]
    request = make_request(spec, private, words, dict(os.environ), str(tmp_path), 600)
    execution = Execution(request, b"", 1000)
    await asyncio.to_thread(wait_for, marker, range(3, 100))
    command = min(host_processes(marker))
    status = Path(f"/proc/{command}/status").read_text(encoding="utf-8")
    parent = next(line.split()[1] for line in status.splitlines() if line.startswith("PPid"))
    os.kill(int(parent), signal.SIGKILL)
    with pytest.raises(SandboxUnavailableError, match="supervisor"):
        await execution.result()
    assert host_processes(marker) == []
