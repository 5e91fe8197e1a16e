"""Plain processes see each other; their uids keep candidates from judges and one another."""

import asyncio
import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.sandbox.base import Mount, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give others a uid")

ASSASSIN = """
import os, signal
mine = {os.getpid(), os.getppid()}
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        print("STOLEN", open(f"/proc/{name}/root/private/answer").read())
    except OSError:
        pass
    try:
        if open(f"/proc/{name}/cmdline").read().startswith("sleep\\0" + "4.25") :
            os.kill(int(name), signal.SIGKILL)
            print("KILLED", name)
    except OSError:
        pass
"""


@pytest.fixture
async def provider() -> AsyncGenerator[ProcessProvider]:
    with ThreadPoolExecutor(6) as executor:
        yield ProcessProvider(SandboxConfig(), executor)


@pytest.mark.slow
async def test_a_candidate_reaches_neither_judge_nor_candidate(
    provider: ProcessProvider, tmp_path: Path
) -> None:
    private, work, other = (tmp_path / name for name in ("private", "work", "other"))
    for folder in (private, work, other):
        folder.mkdir()
    (private / "answer").write_text("42")
    (private / "answer").chmod(0o644)
    judge = await provider.create(
        SandboxSpec("judge", (Mount(private, "/private"),), workdir="/private")
    )
    victim = await provider.create(
        SandboxSpec("produce", (Mount(other, "/work", read_only=False),))
    )
    hostile = await provider.create(
        SandboxSpec("produce", (Mount(work, "/work", read_only=False),))
    )
    try:
        running = [
            asyncio.create_task(sandbox.exec(["sleep", "4.25"], timeout_s=30))
            for sandbox in (judge, victim)
        ]
        await asyncio.sleep(1)
        attacked = await hostile.exec(["python", "-c", ASSASSIN], timeout_s=30)
        assert attacked.ok, attacked
        assert attacked.stdout == b""
        assert all(ended.ok for ended in await asyncio.gather(*running))
    finally:
        for sandbox in (judge, victim, hostile):
            await sandbox.close()
