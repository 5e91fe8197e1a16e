"""The zygote dies or hangs: commands at work go on, later ones get a new one, nothing is left."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.sandbox.base import Sandbox, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.sandbox.zygote import ZYGOTE

HARNESS = """
import os, signal, sys
from harness.sandbox.zygote import ZYGOTE
ends = [*os.pipe(), *os.pipe()]
ZYGOTE.order([0, ends[1], ends[3], ends[1], 0])
print(open(f"/proc/self/task/{os.getpid()}/children").read(), flush=True)
if "kill" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    with ThreadPoolExecutor(2) as executor:
        sandbox = await ProcessProvider(SandboxConfig(), executor).create(
            SandboxSpec(purpose="agent", mounts=())
        )
        yield sandbox
        await sandbox.close()


def zygotes() -> list[int]:
    """Zygotes of this process."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return [int(pid) for pid in found if is_zygote(int(pid))]


def is_zygote(pid: int) -> bool:
    try:
        return b"shim.zygote" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_for_end(pid: int) -> None:
    until = time.monotonic() + 60
    while is_zygote(pid):
        assert time.monotonic() < until
        time.sleep(0.01)


async def test_a_killed_zygote_is_replaced_and_what_runs_goes_on(sandbox: Sandbox) -> None:
    started = asyncio.Event()

    async def wait_for_go() -> str:
        started.set()
        words = 'while [ ! -e go ]; do sleep 0.02; done; echo "$$"'
        return (await sandbox.exec(["sh", "-c", words], timeout_s=60)).text()

    running = asyncio.create_task(wait_for_go())
    await started.wait()
    assert (await sandbox.exec(["true"], timeout_s=60)).ok
    [zygote] = zygotes()
    os.kill(zygote, signal.SIGKILL)
    await asyncio.to_thread(wait_for_end, zygote)
    assert (await sandbox.exec(["touch", "go"], timeout_s=60)).ok
    assert (await running).strip().isdigit()
    [successor] = zygotes()
    assert successor != zygote


async def test_a_stopped_zygote_ends_all_the_same(sandbox: Sandbox) -> None:
    assert (await sandbox.exec(["true"], timeout_s=60)).ok
    [zygote] = zygotes()
    os.kill(zygote, signal.SIGSTOP)
    await asyncio.to_thread(ZYGOTE.stop)
    assert zygotes() == []
    assert (await sandbox.exec(["true"], timeout_s=60)).ok


@pytest.mark.parametrize("how", ["kill", "end"])
def test_a_zygote_ends_with_its_harness(how: str) -> None:
    words = [sys.executable, "-c", HARNESS, how]
    printed = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout
    wait_for_end(int(printed))
