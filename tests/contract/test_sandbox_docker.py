"""The sandbox contract on Docker, and what only Docker does."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import docker
import pytest

import harness
from harness.errors import SandboxUnavailableError, SubmissionRefusedError
from harness.sandbox.base import MIB, ExecEnd, Limits, Mount, Sandbox, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.docker import DockerProvider
from harness.sandbox.docker_client import connect, host_address
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules
from harness.sandbox.tree import TreeFile
from harness.sandbox.workspace import Workspace
from harness.testing.sandbox import OpenSandbox, SandboxContract

# A container for each check: about a minute together.
pytestmark = [pytest.mark.docker, pytest.mark.slow]

PATIENCE_S = 60.0
SMALL = Limits(memory_bytes=192 * MIB, pids=48, disk_bytes=16 * MIB, inodes=400)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as executor:
        yield executor


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = connect()
    yield client
    client.close()


def containers(client: docker.DockerClient, run: str) -> list[dict[str, Any]]:
    return cast(
        "list[dict[str, Any]]",
        client.api.containers(all=True, filters={"label": f"harness.run={run}"}),
    )


class TestDocker(SandboxContract):
    @pytest.fixture
    async def provider(self, executor: ThreadPoolExecutor) -> AsyncIterator[DockerProvider]:
        # HARNESS_TEST_RUNTIME=runsc checks gVisor, where the daemon has it.
        runtime = os.environ.get("HARNESS_TEST_RUNTIME") or None
        provider = DockerProvider(SandboxConfig(runtime=runtime), executor)
        yield provider
        await provider.close()

    # -- isolation --

    async def test_only_scratch_and_writable_mounts_can_be_written(self, sandbox: Sandbox) -> None:
        script = 'for d in "$@"; do touch $d/x 2>/dev/null && echo $d; done'
        folders = ["/", "/usr", "/etc", "/var", "/data", "/tmp", "/work"]
        result = await sandbox.exec(["sh", "-c", script, "sh", *folders], timeout_s=PATIENCE_S)
        assert result.stdout == b"/tmp\n/work\n"

    async def test_scratch_is_neither_setuid_nor_device_and_runs_programs(
        self, sandbox: Sandbox
    ) -> None:
        mounts = await sandbox.exec(["grep", " /tmp ", "/proc/mounts"], timeout_s=PATIENCE_S)
        assert {b"nosuid", b"nodev"} <= set(mounts.stdout.split()[3].split(b","))
        script = "printf '#!/bin/sh\\necho ran\\n' >/tmp/p && chmod +x /tmp/p && /tmp/p"
        result = await sandbox.exec(["sh", "-c", script], timeout_s=PATIENCE_S)
        assert result.stdout == b"ran\n"

    async def test_no_socket_of_the_daemon_is_in_reach(self, sandbox: Sandbox) -> None:
        script = "find / /run /tmp /work -xdev -type s; ls /run/docker.sock /var/run/docker.sock"
        result = await sandbox.exec(["sh", "-c", script], timeout_s=PATIENCE_S)
        assert result.stdout == b""

    async def test_nothing_is_left_for_the_next_sandbox(self, open_sandbox: OpenSandbox) -> None:
        first = await open_sandbox("first")
        await first.exec(["sh", "-c", "echo x | tee /tmp/kept /dev/shm/kept"], timeout_s=PATIENCE_S)
        second = await open_sandbox("second")
        found = await second.exec(["sh", "-c", "ls /tmp /dev/shm"], timeout_s=PATIENCE_S)
        assert b"kept" not in found.stdout

    # -- commands --

    async def test_a_missing_working_directory_is_the_commands_failure(
        self, sandbox: Sandbox
    ) -> None:
        result = await sandbox.exec(["true"], timeout_s=PATIENCE_S, cwd="no/such")
        assert result.end is ExecEnd.EXITED
        assert result.exit_code != 0
        assert (await sandbox.exec(["true"], timeout_s=PATIENCE_S)).ok

    async def test_a_daemon_among_concurrent_commands_dies_with_its_own(
        self, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        # The marked child outlives the first command only if the sweep waits for the second one.
        slow = asyncio.create_task(
            sandbox.exec(["sh", "-c", "while [ ! -e stop ]; do sleep 0.05; done"], timeout_s=60)
        )
        leaving = "setsid sh -c 'while :; do echo x >> beat; sleep 0.02; done' >/dev/null 2>&1 &"
        left = await sandbox.exec(["sh", "-c", f"{leaving} sleep 0.2"], timeout_s=PATIENCE_S)
        assert left.ok
        beats = (tmp_path / "work" / "beat").stat().st_size
        assert beats > 0
        await asyncio.sleep(0.2)
        assert (tmp_path / "work" / "beat").stat().st_size == beats
        assert not slow.done()
        (tmp_path / "work" / "stop").touch()
        assert (await slow).ok

    async def test_a_deadline_does_not_run_while_frozen(self, sandbox: Sandbox) -> None:
        running = asyncio.create_task(sandbox.exec(["sleep", "0.3"], timeout_s=1.8))
        await asyncio.sleep(0.1)
        async with sandbox.frozen():
            await asyncio.sleep(2)
        assert (await running).ok

    async def test_freezing_again_and_again_leaves_it_running(self, sandbox: Sandbox) -> None:
        for _ in range(10):
            async with sandbox.frozen():
                pass
        assert (await sandbox.exec(["true"], timeout_s=PATIENCE_S)).ok

    # -- a sandbox that is gone --

    async def test_a_container_that_is_killed_is_not_a_failed_command(
        self, provider: DockerProvider, client: docker.DockerClient, tmp_path: Path
    ) -> None:
        sandbox = await provider.create(spec(tmp_path, run="killed"))
        running = asyncio.create_task(sandbox.exec(["sleep", "60"], timeout_s=PATIENCE_S))
        await asyncio.sleep(0.5)
        client.api.kill(containers(client, "killed")[0]["Id"])
        with pytest.raises(SandboxUnavailableError):
            await running
        with pytest.raises(SandboxUnavailableError):
            await sandbox.exec(["true"], timeout_s=PATIENCE_S)
        await sandbox.close()

    async def test_closing_ends_a_running_command(
        self, provider: DockerProvider, client: docker.DockerClient, tmp_path: Path
    ) -> None:
        sandbox = await provider.create(spec(tmp_path, run="closed"))
        running = asyncio.create_task(sandbox.exec(["sleep", "60"], timeout_s=PATIENCE_S))
        await asyncio.sleep(0.5)
        await sandbox.close()
        with pytest.raises(SandboxUnavailableError):
            await running
        with pytest.raises(SandboxUnavailableError):
            await sandbox.exec(["true"], timeout_s=PATIENCE_S)
        assert containers(client, "closed") == []

    async def test_a_cancelled_start_leaves_no_container(
        self, provider: DockerProvider, client: docker.DockerClient, tmp_path: Path
    ) -> None:
        starting = asyncio.create_task(provider.create(spec(tmp_path, run="cancelled")))
        while not containers(client, "cancelled"):
            await asyncio.sleep(0.01)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await provider.close()
        assert containers(client, "cancelled") == []

    async def test_an_unknown_image_is_told(self, provider: DockerProvider, tmp_path: Path) -> None:
        unknown = SandboxSpec("produce", (), image="no-such-image:1")
        with pytest.raises(SandboxUnavailableError, match="no-such-image"):
            await provider.create(unknown)

    # -- reaping --

    async def test_only_containers_of_dead_runs_are_reaped(
        self, provider: DockerProvider, client: docker.DockerClient, tmp_path: Path
    ) -> None:
        live = await provider.create(spec(tmp_path, run="reap-live"))
        script = _ABANDON.format(address=host_address(None), folder=str(tmp_path / "dead"))
        (tmp_path / "dead").mkdir()
        environment = {**os.environ, "PYTHONPATH": _PACKAGES}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env=environment
        )
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
        stranger = client.containers.create("harness-base", ["true"], labels={"harness.run": "x"})
        try:
            assert len(containers(client, "reap-dead")) == 1
            assert await provider.reap() >= 1
            assert containers(client, "reap-dead") == []
            assert (await live.exec(["true"], timeout_s=PATIENCE_S)).ok
            assert await provider.reap("x") == 0
            stranger.reload()
            assert await provider.reap("reap-live") == 1
            assert containers(client, "reap-live") == []
        finally:
            stranger.remove()


_PACKAGES = str(Path(harness.__file__).parents[1])
_ABANDON = """
import asyncio, os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from harness.sandbox.base import Mount, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.docker import DockerProvider

async def main():
    provider = DockerProvider(SandboxConfig(docker_host="{address}"), ThreadPoolExecutor(2))
    mounts = (Mount(Path("{folder}"), "/work", read_only=False),)
    await provider.create(SandboxSpec("agent", mounts, labels={{"harness.run": "reap-dead"}}))
    os._exit(0)

asyncio.run(main())
"""


def spec(folder: Path, *, run: str, limits: Limits = SMALL) -> SandboxSpec:
    (folder / "work").mkdir(exist_ok=True)
    mounts = (Mount(folder / "work", "/work", read_only=False),)
    return SandboxSpec("agent", mounts, limits=limits, labels={"harness.run": run})


class TestWithoutMounts:
    """What holds where the daemon cannot mount this machine's folders nor count where we see it."""

    @pytest.fixture
    async def sandbox(self, executor: ThreadPoolExecutor, tmp_path: Path) -> AsyncIterator[Sandbox]:
        for name in ("work", "data"):
            (tmp_path / name / "deep").mkdir(parents=True)
            (tmp_path / name / "deep" / "given.txt").write_text(name, encoding="utf-8")
        provider = DockerProvider(SandboxConfig(transport="tar"), executor)
        mounts = (
            Mount(tmp_path / "work", "/work", read_only=False),
            Mount(tmp_path / "data", "/data"),
        )
        sandbox = await provider.create(SandboxSpec("agent", mounts, limits=SMALL))
        yield sandbox
        await sandbox.close()
        await provider.close()

    async def test_folders_are_copied_and_read_only_ones_stay_so(self, sandbox: Sandbox) -> None:
        given = await sandbox.exec(
            ["cat", "deep/given.txt", "/data/deep/given.txt"], timeout_s=PATIENCE_S
        )
        assert given.stdout == b"workdata"
        for command in ("echo x >/data/new", "echo x >/data/deep/given.txt", "rm -r /data/deep"):
            result = await sandbox.exec(["sh", "-c", command], timeout_s=PATIENCE_S)
            assert result.exit_code != 0
        assert (await sandbox.exec(["sh", "-c", "rm -r deep"], timeout_s=PATIENCE_S)).ok

    async def test_files_are_read_and_written_by_commands(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("a/b/f.bin", b"\x00\xff")
        await sandbox.write_file("a/b/f.bin", b"second")
        await sandbox.write_file("run.sh", b"#!/bin/sh\necho ran\n", executable=True)
        assert await sandbox.read_file("a/b/f.bin") == b"second"
        assert (await sandbox.exec(["./run.sh"], timeout_s=PATIENCE_S)).stdout == b"ran\n"
        with pytest.raises(OverflowError):
            await sandbox.read_file("a/b/f.bin", max_bytes=5)
        with pytest.raises(FileNotFoundError):
            await sandbox.read_file("missing/f")

    async def test_links_and_special_files_are_refused(self, sandbox: Sandbox) -> None:
        made = "ln -s /etc/passwd link; ln -s /etc folder-link; mkfifo fifo; mkdir folder"
        assert (await sandbox.exec(["sh", "-c", made], timeout_s=PATIENCE_S)).ok
        outside = ("../etc/passwd", "/etc/passwd")
        for name in ("link", "folder-link/passwd", "fifo", "folder", *outside):
            with pytest.raises(PermissionError):
                await sandbox.read_file(name)
            with pytest.raises(PermissionError):
                await sandbox.write_file(name, b"new")

    async def test_ends_are_told_from_inside(self, sandbox: Sandbox) -> None:
        grow = "x = []\nwhile True: x.append(b'x' * (4 << 20))"
        result = await sandbox.exec(["python3", "-c", grow], timeout_s=PATIENCE_S)
        assert result.end is ExecEnd.OUT_OF_MEMORY
        daemon = "setsid sleep 600 >/dev/null 2>&1 & sleep 600"
        result = await sandbox.exec(["sh", "-c", daemon], timeout_s=0.5)
        assert result.end is ExecEnd.TIMEOUT
        seen = await sandbox.exec(["ps", "-eo", "args"], timeout_s=PATIENCE_S)
        assert b"sleep 600" not in seen.stdout

    async def test_a_work_tree_goes_in_and_comes_out(
        self, sandbox: Sandbox, executor: ThreadPoolExecutor, tmp_path: Path
    ) -> None:
        repository = Repository.create(tmp_path / "attempts.git")
        files = {"a.py": TreeFile(b"one\n"), "bin/run": TreeFile(b"#!/bin/sh\n", executable=True)}
        tree = repository.write_tree(files)
        workspace = Workspace(
            sandbox, repository, SubmissionRules(), folder=None, owner=None, executor=executor
        )
        await workspace.load(tree)
        assert await workspace.snapshot() == tree
        await sandbox.write_file("a.py", b"two\n")
        assert repository.files(await workspace.snapshot())["a.py"].data == b"two\n"
        await sandbox.exec(["ln", "-s", "/etc/passwd", "stolen"], timeout_s=PATIENCE_S)
        with pytest.raises(SubmissionRefusedError, match="stolen"):
            await workspace.snapshot()
        repository.close()


async def test_many_commands_at_once_are_kept_apart(
    executor: ThreadPoolExecutor, tmp_path: Path
) -> None:
    provider = DockerProvider(SandboxConfig(), executor)
    sandbox = await provider.create(spec(tmp_path, run="many", limits=Limits(pids=128)))
    results = await asyncio.gather(
        *(
            sandbox.exec(["sh", "-c", f"echo {n}; echo {n} >&2"], timeout_s=PATIENCE_S)
            for n in range(12)
        )
    )
    assert [(one.stdout, one.stderr) for one in results] == [
        (f"{n}\n".encode(), f"{n}\n".encode()) for n in range(12)
    ]
    await sandbox.close()
    await provider.close()
