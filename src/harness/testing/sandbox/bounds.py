"""Checks of limits, of isolation, and of reading and writing files from outside."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.sandbox.base import MIB, ExecEnd, Guarantee, Limits, Sandbox, SandboxProvider
from harness.testing.sandbox.fixtures import (
    LIMITS,
    PATIENCE_S,
    OpenSandbox,
    SandboxFixtures,
    host_processes,
    python,
)
from harness.testing.sandbox.scripts import (
    CONNECT,
    FILL_DISK,
    FILL_INODES,
    FLOOD,
    FORK_CHILDREN,
    GROW_FILE,
    GROW_MEMORY,
    GROW_MEMORY_IN_CHILD,
)

Requires = Callable[[Guarantee], None]


def _bytes_and_files(folder: Path) -> tuple[int, int]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in found), len(found)


class BoundsChecks(SandboxFixtures):
    # -- limits --

    async def test_output_is_capped(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(
            ["python3", "-c", FLOOD], timeout_s=PATIENCE_S, max_output_bytes=MIB
        )
        assert result.end is ExecEnd.OUTPUT_LIMIT
        assert result.evidence
        assert len(result.stdout) + len(result.stderr) <= MIB

    async def test_output_of_exactly_the_cap_is_no_excess(self, sandbox: Sandbox) -> None:
        result = await python(sandbox, "print('x' * 999)")
        again = await sandbox.exec(
            ["python3", "-c", "print('x' * 999)"], timeout_s=PATIENCE_S, max_output_bytes=1000
        )
        assert result.stdout == again.stdout
        assert again.ok

    @pytest.mark.parametrize(
        "script", [GROW_MEMORY, GROW_MEMORY_IN_CHILD], ids=["itself", "in-a-child"]
    )
    async def test_too_much_memory_is_told(
        self, sandbox: Sandbox, requires: Requires, script: str
    ) -> None:
        requires(Guarantee.MEMORY)
        result = await python(sandbox, script)
        assert result.end is ExecEnd.OUT_OF_MEMORY
        assert result.evidence
        assert (await python(sandbox, "print('alive')")).stdout == b"alive\n"

    async def test_a_fork_bomb_is_bounded_and_leaves_nothing(
        self, sandbox: Sandbox, marker: str, requires: Requires
    ) -> None:
        requires(Guarantee.PIDS)
        result = await python(sandbox, FORK_CHILDREN, marker, timeout_s=20)
        assert b"forked all" not in result.stdout
        assert result.end is ExecEnd.PIDS or result.exit_code != 0
        assert host_processes(marker) == []
        assert (await python(sandbox, "print('alive')")).stdout == b"alive\n"

    async def test_a_full_disk_is_told(
        self, sandbox: Sandbox, requires: Requires, tmp_path: Path
    ) -> None:
        requires(Guarantee.DISK)
        result = await python(sandbox, FILL_DISK, ".")
        assert result.end is ExecEnd.DISK
        assert result.evidence
        assert _bytes_and_files(tmp_path / "work")[0] < 10 * LIMITS.disk_bytes

    async def test_too_many_files_are_told(
        self, sandbox: Sandbox, requires: Requires, tmp_path: Path
    ) -> None:
        requires(Guarantee.INODES)
        result = await python(sandbox, FILL_INODES)
        assert result.end is ExecEnd.DISK
        assert _bytes_and_files(tmp_path / "work")[1] < 20_000

    async def test_scratch_is_bounded(self, sandbox: Sandbox, requires: Requires) -> None:
        requires(Guarantee.SCRATCH)
        result = await sandbox.exec(
            ["sh", "-c", 'exec python3 -c "$0" "$TMPDIR"', FILL_DISK], timeout_s=PATIENCE_S
        )
        assert not result.ok

    async def test_a_file_stays_below_its_cap(
        self, sandbox: Sandbox, requires: Requires, tmp_path: Path
    ) -> None:
        requires(Guarantee.FILE_SIZE)
        result = await python(sandbox, GROW_FILE)
        assert not result.ok
        assert (tmp_path / "work" / "big").stat().st_size <= LIMITS.file_bytes

    async def test_no_core_dump_is_written(self, sandbox: Sandbox, tmp_path: Path) -> None:
        await sandbox.exec(["sh", "-c", "kill -ABRT $$"], timeout_s=PATIENCE_S)
        assert list((tmp_path / "work").iterdir()) == []

    async def test_an_honest_command_near_its_limits_is_left_alone(
        self, open_sandbox: OpenSandbox
    ) -> None:
        sandbox = await open_sandbox(limits=Limits(memory_bytes=256 * MIB))
        result = await python(
            sandbox, "import time; x = b'x' * (100 << 20); time.sleep(0.3); print(len(x))"
        )
        assert result.ok, result

    # -- isolation --

    async def test_the_network_cannot_be_reached(
        self, sandbox: Sandbox, requires: Requires
    ) -> None:
        requires(Guarantee.NETWORK)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
            for host in ("127.0.0.1", "192.0.2.1"):
                result = await python(sandbox, CONNECT, host, port)
                assert result.stdout.startswith(b"refused"), result

    async def test_commands_have_no_privileges(self, sandbox: Sandbox, requires: Requires) -> None:
        status = (await sandbox.exec(["cat", "/proc/self/status"], timeout_s=PATIENCE_S)).text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["NoNewPrivs"] == "1"
        requires(Guarantee.USER)
        assert int(fields["CapEff"], 16) == 0
        assert "0" not in fields["Uid"].split()

    async def test_other_sandboxes_cannot_be_seen(
        self, open_sandbox: OpenSandbox, requires: Requires, tmp_path: Path
    ) -> None:
        requires(Guarantee.HOST_FILES)
        mine, other = await asyncio.gather(open_sandbox("mine"), open_sandbox("other"))
        await other.write_file("secret.txt", b"secret")
        for name in (str(tmp_path / "other" / "secret.txt"), "../other/secret.txt"):
            assert (await mine.exec(["cat", name], timeout_s=PATIENCE_S)).exit_code != 0

    async def test_files_of_the_host_cannot_be_seen(
        self, sandbox: Sandbox, requires: Requires, tmp_path: Path
    ) -> None:
        requires(Guarantee.HOST_FILES)
        (tmp_path / "private.txt").write_text("canary", encoding="utf-8")
        (tmp_path / "private.txt").chmod(0o644)
        result = await sandbox.exec(["cat", str(tmp_path / "private.txt")], timeout_s=PATIENCE_S)
        assert b"canary" not in result.stdout

    async def test_other_processes_cannot_be_seen(
        self, sandbox: Sandbox, marker: str, requires: Requires
    ) -> None:
        requires(Guarantee.PROCESSES)
        words = (sys.executable, "-c", "import time; time.sleep(600)", marker)
        outside = await asyncio.create_subprocess_exec(*words)
        try:
            command = ["sh", "-c", "cat /proc/[0-9]*/cmdline"]
            seen = await sandbox.exec(command, timeout_s=PATIENCE_S)
        finally:
            outside.kill()
            await outside.wait()
        assert b"cat" in seen.stdout
        assert marker.encode() not in seen.stdout

    # -- files from outside --

    async def test_files_written_are_read_back(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("deep/er/f.bin", b"\x00\xff")
        await sandbox.write_file("deep/er/f.bin", b"second")
        await sandbox.write_file("run.sh", b"#!/bin/sh\necho ran\n", executable=True)
        assert await sandbox.read_file("deep/er/f.bin") == b"second"
        assert (await sandbox.exec(["./run.sh"], timeout_s=PATIENCE_S)).stdout == b"ran\n"
        changed = await sandbox.exec(
            ["sh", "-c", "echo more >> deep/er/f.bin && rm -r deep"], timeout_s=PATIENCE_S
        )
        assert changed.ok, changed

    async def test_a_missing_file_is_told(self, sandbox: Sandbox) -> None:
        for name in ("missing", "no/such/folder"):
            with pytest.raises(FileNotFoundError):
                await sandbox.read_file(name)

    async def test_a_large_file_is_refused(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("f", bytes(2000))
        assert len(await sandbox.read_file("f", max_bytes=2000)) == 2000
        with pytest.raises(OverflowError):
            await sandbox.read_file("f", max_bytes=1999)

    @pytest.mark.parametrize(
        "name", ["link", "folder-link/passwd", "fifo", "folder", "../data/given.txt", "/etc/passwd"]
    )
    async def test_only_regular_files_below_the_folder_are_read(
        self, sandbox: Sandbox, name: str
    ) -> None:
        made = await sandbox.exec(
            [
                "sh",
                "-c",
                "ln -s /etc/passwd link; ln -s /etc folder-link; mkfifo fifo; mkdir folder",
            ],
            timeout_s=PATIENCE_S,
        )
        assert made.ok, made
        with pytest.raises(PermissionError):
            await asyncio.wait_for(sandbox.read_file(name), PATIENCE_S)

    @pytest.mark.parametrize("name", ["out/f", "link", "../escaped", "/tmp/escaped"])
    async def test_nothing_is_written_outside_the_folder(
        self, sandbox: Sandbox, provider: SandboxProvider, tmp_path: Path, name: str
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "target").write_text("old", encoding="utf-8")
        if provider.owner is not None:
            os.chown(outside, *provider.owner)
            os.chown(outside / "target", *provider.owner)
        links = f"ln -s {outside} out; ln -s {outside}/target link"
        assert (await sandbox.exec(["sh", "-c", links], timeout_s=PATIENCE_S)).ok
        with pytest.raises(PermissionError):
            await sandbox.write_file(name, b"new")
        assert [path.name for path in outside.iterdir()] == ["target"]
        assert (outside / "target").read_text(encoding="utf-8") == "old"
        assert not (tmp_path / "escaped").exists()
