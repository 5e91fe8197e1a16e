"""Commands that are talked to while they run."""

import asyncio
from pathlib import Path

import pytest

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import CommandStream, ExecEnd, Sandbox
from harness.testing.sandbox.fixtures import PATIENCE_S, SandboxFixtures, host_processes
from harness.testing.sandbox.scripts import DAEMON

ECHO = """
import sys
while data := sys.stdin.buffer.read1(65536):
    sys.stdout.buffer.write(data.upper())
    sys.stdout.buffer.flush()
"""


async def read(stream: CommandStream, size: int) -> bytes:
    """At least `size` bytes, or all there are."""
    found = b""
    while len(found) < size and (data := await stream.read()):
        found += data
    return found


class StreamingChecks(SandboxFixtures):
    async def test_a_stream_goes_both_ways(self, sandbox: Sandbox) -> None:
        async with sandbox.stream(["python3", "-c", ECHO], timeout_s=PATIENCE_S) as stream:
            for word in (b"one", b"two"):
                await stream.write(word)
                assert await read(stream, 3) == word.upper()

    async def test_many_bytes_go_both_ways_at_once(self, sandbox: Sandbox) -> None:
        data = bytes(range(97, 123)) * 40_000
        async with sandbox.stream(["python3", "-c", ECHO], timeout_s=PATIENCE_S) as stream:
            writing = asyncio.create_task(stream.write(data))
            assert await read(stream, len(data)) == data.upper()
            await writing

    async def test_how_a_stream_ended_is_told(self, sandbox: Sandbox) -> None:
        script = "cat given; echo late; echo wrong >&2; exit 3"
        await sandbox.write_file("given", b"x" * 300_000)
        async with sandbox.stream(["sh", "-c", script], timeout_s=PATIENCE_S) as stream:
            output = await read(stream, 1_000_000)
            result = await stream.result()
        assert output == b"x" * 300_000 + b"late\n"
        assert (result.end, result.exit_code) == (ExecEnd.EXITED, 3)
        assert (result.stdout, result.stderr) == (b"", b"wrong\n")

    async def test_leaving_a_stream_ends_all_of_it(self, sandbox: Sandbox, marker: str) -> None:
        async with sandbox.stream(
            ["python3", "-c", DAEMON, marker, "stay"], timeout_s=PATIENCE_S
        ) as stream:
            assert await read(stream, 8) == b"started\n"
            assert host_processes(marker)
            assert (await sandbox.exec(["true"], timeout_s=PATIENCE_S)).ok
            assert host_processes(marker)
        assert host_processes(marker) == []

    async def test_a_stream_has_a_deadline(self, sandbox: Sandbox) -> None:
        async with sandbox.stream(["sleep", "600"], timeout_s=0.3) as stream:
            assert (await stream.result()).end is ExecEnd.TIMEOUT

    async def test_a_stream_stands_still_while_frozen(
        self, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        log = tmp_path / "work" / "log"
        async with sandbox.stream(
            ["sh", "-c", "cat >> log; echo end"], timeout_s=PATIENCE_S
        ) as stream:
            await stream.write(b"before")
            while not log.exists() or log.stat().st_size < 6:
                await asyncio.sleep(0.01)
            async with sandbox.frozen():
                await stream.write(b"after")
                await asyncio.sleep(0.1)
                assert log.read_bytes() == b"before"
            while log.stat().st_size < 11:
                await asyncio.sleep(0.01)
        assert log.read_bytes() == b"beforeafter"

    async def test_closing_the_sandbox_ends_a_stream(self, sandbox: Sandbox, marker: str) -> None:
        argv = ["python3", "-c", DAEMON, marker, "stay"]
        async with sandbox.stream(argv, timeout_s=PATIENCE_S) as stream:
            assert await read(stream, 8) == b"started\n"
            closing = asyncio.create_task(sandbox.close())
            with pytest.raises(SandboxUnavailableError):
                await stream.result()
            await closing
        assert host_processes(marker) == []

    async def test_a_stream_that_cannot_start_is_told(self, sandbox: Sandbox) -> None:
        async def use() -> None:
            async with sandbox.stream(["cat"], timeout_s=PATIENCE_S) as stream:
                assert await stream.read() == b""
                await stream.result()

        await sandbox.close()
        with pytest.raises(SandboxUnavailableError):
            await asyncio.wait_for(use(), PATIENCE_S)
