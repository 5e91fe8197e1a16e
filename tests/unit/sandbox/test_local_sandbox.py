"""Where a local sandbox puts things, and what it leaves."""

import asyncio
import os
import subprocess
import tempfile
import venv
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import ExecEnd, Limits, Mount, SandboxProvider, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.interpreter import Interpreter
from harness.sandbox.layout import PrivateFolders, own_layout
from harness.sandbox.local import PREFIX, make_private, reap_private
from harness.sandbox.process import ProcessProvider


@pytest.fixture
async def provider() -> AsyncIterator[SandboxProvider]:
    with ThreadPoolExecutor(2) as executor:
        yield ProcessProvider(SandboxConfig(), executor)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder for private folders that only this test uses, which any uid can pass through."""
    assert tmp_path.exists()  # pytest makes its own folder before this one takes over
    with tempfile.TemporaryDirectory(prefix="harness-test-") as name:
        Path(name).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


def spec_of(*mounts: Mount, workdir: str = "/work", python: Path | None = None) -> SandboxSpec:
    return SandboxSpec(purpose="produce", mounts=mounts, workdir=workdir, python=python)


async def output(provider: SandboxProvider, spec: SandboxSpec, *argv: str) -> str:
    sandbox = await provider.create(spec)
    try:
        result = await sandbox.exec(argv, timeout_s=60)
        assert result.ok, result
        return result.stdout.decode().strip()
    finally:
        await sandbox.close()


async def test_a_closed_sandbox_leaves_no_folder_and_runs_nothing(
    provider: SandboxProvider, temporary: Path
) -> None:
    sandbox = await provider.create(spec_of())
    assert len(list(temporary.iterdir())) == 1
    await sandbox.close()
    assert list(temporary.iterdir()) == []
    with pytest.raises(SandboxUnavailableError):
        await sandbox.exec(["true"], timeout_s=60)


async def test_a_missing_working_directory_is_the_commands_fault(
    provider: SandboxProvider,
) -> None:
    sandbox = await provider.create(spec_of())
    result = await sandbox.exec(["true"], timeout_s=60, cwd="missing")
    await sandbox.close()
    assert (result.exit_code, b"missing" in result.stderr) == (126, True)


async def test_closing_ends_what_runs(provider: SandboxProvider, temporary: Path) -> None:
    sandbox = await provider.create(spec_of())
    running = asyncio.create_task(sandbox.exec(["sleep", "600"], timeout_s=600))
    await asyncio.sleep(0.1)
    await sandbox.close()
    with pytest.raises(SandboxUnavailableError):
        await running
    assert list(temporary.iterdir()) == []


async def test_reap_leaves_the_living_and_strangers_alone(
    provider: SandboxProvider, temporary: Path
) -> None:
    (temporary / "harness-sandbox-stranger").mkdir()
    sandbox = await provider.create(spec_of())
    assert await provider.reap() == 0
    assert len(list(temporary.iterdir())) == 2
    await sandbox.close()


async def test_a_missing_mount_is_told_and_nothing_is_left(
    provider: SandboxProvider, temporary: Path, tmp_path: Path
) -> None:
    with pytest.raises(SandboxUnavailableError, match="missing"):
        await provider.create(spec_of(Mount(tmp_path / "missing", "/work")))
    assert list(temporary.iterdir()) == []


async def test_the_interpreter_is_the_environments(
    provider: SandboxProvider, tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    spec = spec_of(python=environment)
    for name in ("python", "python3"):
        assert await output(provider, spec, name, "-c", "import sys; print(sys.prefix)") == str(
            environment
        )


async def test_an_environment_without_interpreter_is_told(
    provider: SandboxProvider, temporary: Path, tmp_path: Path
) -> None:
    with pytest.raises(SandboxUnavailableError, match="interpreter"):
        await provider.create(spec_of(python=tmp_path))
    assert list(temporary.iterdir()) == []


async def test_a_strict_umask_of_the_user_does_not_lock_commands_out(
    provider: SandboxProvider, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    before = os.umask(0o077)
    try:
        spec = spec_of(Mount(tmp_path / "data", "/data"))
        script = 'import os, sys; print(os.path.exists(sys.prefix), os.listdir("/etc/")[:1] != [])'
        assert await output(provider, spec, "python3", "-c", script) == "True True"
    finally:
        os.umask(before)


def test_a_mount_never_lies_over_the_interpreter(tmp_path: Path) -> None:
    prefix = Interpreter.find(None).prefixes[0]
    spec = spec_of(Mount(tmp_path, str(prefix.parent)), workdir=f"{prefix.parent}/sub")
    private = make_private(spec, None)
    try:
        layout = own_layout(spec, private)
    finally:
        subprocess.run(["rm", "-rf", private.root], check=True, timeout=60)
    assert layout.targets == {str(prefix.parent): f"/sandbox{prefix.parent}"}
    assert layout.workdir == f"/sandbox{prefix.parent}/sub"
    assert layout.folder == tmp_path / "sub"


def test_a_working_directory_that_nothing_is_mounted_at_is_private(tmp_path: Path) -> None:
    for folder in ("home", "tmp", "work", "etc"):
        (tmp_path / folder).mkdir()
    layout = own_layout(spec_of(workdir="/elsewhere"), PrivateFolders(tmp_path))
    assert layout.folder == tmp_path / "work"
    assert layout.writable


async def test_a_long_command_stands_still_and_holds_up_nobody(
    provider: SandboxProvider, tmp_path: Path
) -> None:
    """A background job runs for hours: a submission must not wait for its end."""
    sandbox = await provider.create(spec_of(Mount(tmp_path, "/work", read_only=False)))
    script = "(while :; do echo x >> log; sleep 0.01; done) & wait"
    job = asyncio.create_task(sandbox.exec(["sh", "-c", script], timeout_s=120))
    log = tmp_path / "log"

    async def grows() -> None:
        before = log.stat().st_size if log.exists() else 0
        while not log.exists() or log.stat().st_size == before:
            await asyncio.sleep(0.01)

    await grows()
    for _ in range(3):
        async with sandbox.frozen():
            size = log.stat().st_size
            await asyncio.sleep(0.1)
            assert log.stat().st_size == size
        await grows()
    assert not job.done()
    await sandbox.close()
    with pytest.raises(SandboxUnavailableError):
        await job


def test_folders_that_a_kill_left_without_an_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, young = tmp_path / f"{PREFIX}old", tmp_path / f"{PREFIX}young"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (0, 0))
    assert reap_private("some-run", frozenset()) == 0
    assert reap_private(None, frozenset()) == 1
    assert [path.name for path in tmp_path.iterdir()] == [young.name]


async def test_too_many_processes_are_seen_though_the_command_has_ended(
    provider: SandboxProvider,
) -> None:
    """Between two looks, which are a quarter of a second apart by then."""
    program = (
        "import os, sys, time\n"
        "time.sleep(1)\n"
        "for _ in range(12):\n"
        "    if not os.fork():\n"
        "        time.sleep(60)\n"
        "os._exit(1)\n"
    )
    spec = SandboxSpec(purpose="produce", mounts=(), workdir="/work", limits=Limits(pids=8))
    sandbox = await provider.create(spec)
    try:
        result = await sandbox.exec(["python", "-c", program], timeout_s=60)
        assert result.end is ExecEnd.PIDS, result
        assert "limit 8" in result.evidence
        within = program.replace("12", "7")
        assert (await sandbox.exec(["python", "-c", within], timeout_s=60)).end is ExecEnd.EXITED
    finally:
        await sandbox.close()
