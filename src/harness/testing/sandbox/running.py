"""Checks of running commands: results, environment, mounts, and that nothing is left behind."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.sandbox.base import (
    MIB,
    Capabilities,
    ExecEnd,
    Guarantee,
    Mount,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
)
from harness.testing.sandbox.fixtures import (
    PATIENCE_S,
    OpenSandbox,
    SandboxFixtures,
    host_processes,
    python,
)
from harness.testing.sandbox.scripts import DAEMON, HOLD_STDOUT, IGNORE_TERM


class RunningChecks(SandboxFixtures):
    # -- what it says of itself --

    def test_every_guarantee_is_either_enforced_or_not(self, capabilities: Capabilities) -> None:
        assert not set(capabilities.enforced) & set(capabilities.not_enforced)
        assert {*capabilities.enforced, *capabilities.not_enforced} == set(Guarantee)

    # -- running commands --

    @pytest.mark.parametrize("code", [0, 1, 42, 137])
    async def test_exit_code_is_the_commands_own(self, sandbox: Sandbox, code: int) -> None:
        result = await sandbox.exec(["sh", "-c", f"exit {code}"], timeout_s=PATIENCE_S)
        assert (result.end, result.exit_code) == (ExecEnd.EXITED, code)

    async def test_a_command_that_kills_itself_is_told_by_its_signal(
        self, sandbox: Sandbox
    ) -> None:
        result = await sandbox.exec(["sh", "-c", "kill -9 $$"], timeout_s=PATIENCE_S)
        # An init inside the sandbox can only say 128 + 9.
        assert result.end is ExecEnd.EXITED
        assert result.exit_code in (-9, 137)

    async def test_stdout_and_stderr_are_kept_apart_and_binary(self, sandbox: Sandbox) -> None:
        result = await python(
            sandbox, r"import os; os.write(1, b'\x00\xff\r\n'); os.write(2, b'\x80err')"
        )
        assert (result.stdout, result.stderr) == (b"\x00\xff\r\n", b"\x80err")
        assert result.duration_s > 0

    @pytest.mark.parametrize("size", [0, 5, 3 * MIB])
    async def test_stdin_arrives_whole_and_ends(self, sandbox: Sandbox, size: int) -> None:
        data = os.urandom(size)
        result = await sandbox.exec(["cat"], timeout_s=PATIENCE_S, stdin=data)
        assert result.ok
        assert result.stdout == data

    async def test_stdin_that_nobody_reads_does_not_matter(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["true"], timeout_s=PATIENCE_S, stdin=bytes(4 * MIB))
        assert result.ok

    async def test_an_unknown_program_is_127(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["no-such-program"], timeout_s=PATIENCE_S)
        assert (result.end, result.exit_code) == (ExecEnd.EXITED, 127)

    @pytest.mark.parametrize("word", ["a\0b", "x" * (4 * MIB)], ids=["nul", "too-long"])
    async def test_arguments_that_cannot_be_passed_are_the_commands_fault(
        self, sandbox: Sandbox, word: str
    ) -> None:
        result = await sandbox.exec(["echo", word], timeout_s=PATIENCE_S)
        assert result.end is ExecEnd.EXITED
        assert result.exit_code != 0
        assert result.text()

    async def test_arguments_are_passed_as_they_are(self, sandbox: Sandbox) -> None:
        words = ["a b", "$HOME", "*", "", "é\n", "--", "-x"]
        result = await python(sandbox, "import sys; print(ascii(sys.argv[1:]))", *words)
        assert result.stdout.decode().strip() == ascii(words)

    async def test_python_is_recent_and_runs(self, sandbox: Sandbox) -> None:
        result = await python(sandbox, "import sys; print(sys.version_info >= (3, 11))")
        assert result.stdout.strip() == b"True"

    async def test_commands_run_side_by_side(self, sandbox: Sandbox) -> None:
        # Each waits for a file that the other one makes.
        script = "touch $0; while [ ! -e $1 ]; do sleep 0.02; done; echo $0"
        first, second = await asyncio.gather(
            sandbox.exec(["sh", "-c", script, "a", "b"], timeout_s=PATIENCE_S),
            sandbox.exec(["sh", "-c", script, "b", "a"], timeout_s=PATIENCE_S),
        )
        assert (first.stdout, second.stdout) == (b"a\n", b"b\n")

    # -- environment and folders --

    async def test_the_harness_environment_is_not_inherited(
        self, open_sandbox: OpenSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "canary-of-the-harness")
        sandbox = await open_sandbox()
        result = await sandbox.exec(["env"], timeout_s=PATIENCE_S, env={"EXTRA": "1"})
        assert b"canary" not in result.stdout
        names = {line.split("=", 1)[0] for line in result.stdout.decode().splitlines()}
        assert {"GIVEN", "EXTRA", "PATH", "HOME", "USER", "LANG", "TMPDIR"} <= names

    async def test_home_and_temporary_folder_can_be_written(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(
            ["sh", "-c", 'echo 1 > "$HOME/f" && echo 2 > "$TMPDIR/g" && cat "$HOME/f" "$TMPDIR/g"'],
            timeout_s=PATIENCE_S,
        )
        assert result.stdout == b"1\n2\n"

    async def test_working_directory_and_cwd(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("sub/f.txt", b"here")
        at_root = await sandbox.exec(["pwd"], timeout_s=PATIENCE_S)
        below = await sandbox.exec(["cat", "f.txt"], timeout_s=PATIENCE_S, cwd="sub")
        assert at_root.stdout.decode().strip() == sandbox.workdir
        assert below.stdout == b"here"

    async def test_mounts_are_where_path_says(self, sandbox: Sandbox) -> None:
        given = await sandbox.exec(
            ["cat", f"{sandbox.path('/data')}/given.txt"], timeout_s=PATIENCE_S
        )
        assert given.stdout == b"given"
        assert sandbox.path("/work") == sandbox.workdir
        with pytest.raises(KeyError):
            sandbox.path("/nowhere")

    async def test_what_a_command_writes_is_in_the_mounted_folder(
        self, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        await sandbox.exec(["sh", "-c", "echo made > made.txt"], timeout_s=PATIENCE_S)
        assert (tmp_path / "work" / "made.txt").read_text(encoding="utf-8") == "made\n"

    async def test_what_a_command_writes_is_its_owners(
        self,
        provider: SandboxProvider,
        requires: Callable[[Guarantee], None],
        tmp_path: Path,
    ) -> None:
        requires(Guarantee.USER)
        folder = tmp_path / "agent"
        folder.mkdir()
        sandbox = await provider.create(
            SandboxSpec(purpose="agent", mounts=(Mount(folder, "/work", read_only=False),))
        )
        try:
            await sandbox.exec(["touch", "made.txt"], timeout_s=PATIENCE_S)
        finally:
            await sandbox.close()
        status = (folder / "made.txt").stat()
        assert (status.st_uid, status.st_gid) == (provider.owner or (os.getuid(), os.getgid()))

    async def test_read_only_mounts_cannot_be_written(
        self, sandbox: Sandbox, requires: Callable[[Guarantee], None], tmp_path: Path
    ) -> None:
        requires(Guarantee.READ_ONLY)
        data = sandbox.path("/data")
        for command in (f"echo x > {data}/new", f"echo x > {data}/given.txt", f"rm -rf {data}/*"):
            result = await sandbox.exec(["sh", "-c", command], timeout_s=PATIENCE_S)
            assert result.exit_code != 0
        assert [path.name for path in (tmp_path / "data").iterdir()] == ["given.txt"]
        assert (tmp_path / "data" / "given.txt").read_text(encoding="utf-8") == "given"

    # -- deadlines: nothing is left --

    @pytest.mark.parametrize("script", [IGNORE_TERM, DAEMON], ids=["term-ignored", "daemon"])
    async def test_at_the_deadline_the_whole_tree_dies(
        self, sandbox: Sandbox, marker: str, script: str
    ) -> None:
        for timeout_s in (0.5, 2, 10):  # how long the command takes to start is the machine's
            result = await python(sandbox, script, marker, "stay", timeout_s=timeout_s)
            assert result.end is ExecEnd.TIMEOUT
            if b"started" in result.stdout:
                break
        assert result.evidence
        assert b"started" in result.stdout
        assert host_processes(marker) == []

    async def test_what_outlives_the_command_dies_with_it(
        self, sandbox: Sandbox, marker: str
    ) -> None:
        result = await python(sandbox, DAEMON, marker, "leave")
        assert result.ok
        assert host_processes(marker) == []

    async def test_a_background_child_that_holds_stdout_does_not_hang(
        self, sandbox: Sandbox, marker: str
    ) -> None:
        result = await python(sandbox, HOLD_STDOUT, marker)
        assert (result.end, result.exit_code) == (ExecEnd.EXITED, 3)
        assert result.stdout == b"done\n"
        assert host_processes(marker) == []

    async def test_cancelling_exec_ends_the_command(self, sandbox: Sandbox, marker: str) -> None:
        task = asyncio.create_task(python(sandbox, DAEMON, marker, "stay"))
        while not host_processes(marker):
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert host_processes(marker) == []

    async def test_after_close_nothing_is_left(
        self, sandbox: Sandbox, marker: str, tmp_path: Path
    ) -> None:
        await python(sandbox, DAEMON, marker, "leave")
        await sandbox.close()
        await sandbox.close()
        assert host_processes(marker) == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "work"]

    async def test_while_frozen_nothing_runs(self, sandbox: Sandbox, tmp_path: Path) -> None:
        work = tmp_path / "work"
        script = "for i in $(seq 25); do echo x >> log; sleep 0.02; done"
        running = asyncio.create_task(sandbox.exec(["sh", "-c", script], timeout_s=PATIENCE_S))
        while not (work / "log").exists():
            await asyncio.sleep(0.02)
        async with sandbox.frozen():
            size = (work / "log").stat().st_size
            later = asyncio.create_task(sandbox.exec(["touch", "later"], timeout_s=PATIENCE_S))
            await asyncio.sleep(0.2)
            assert (work / "log").stat().st_size == size
            assert not (work / "later").exists()
        assert (await running).ok
        assert (await later).ok
        assert (work / "log").stat().st_size == 50
        assert (work / "later").exists()
