"""Leases of GPUs and turns on a host: among tasks, among processes, and after SIGKILL."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.evaluators.exclusive import HostTurn
from harness.evaluators.gpus import leases
from harness.evaluators.gpus.discovery import Gpu, GpuQueryError, by_program, discover, visible
from harness.evaluators.gpus.leases import GpuLeases, require
from harness.sandbox.devices import device_files

GIB = 1024**3
PATIENCE_S = 20.0


def gpus(*used_gib: float) -> list[Gpu]:
    return [
        Gpu(f"GPU-{number}", number, "T", 80 * GIB, int(used * GIB), number)
        for number, used in enumerate(used_gib)
    ]


@pytest.fixture
async def stack() -> AsyncGenerator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def taken(made: GpuLeases, stack: AsyncExitStack, amount: float) -> tuple[str, ...] | None:
    """What a lease gives; None when it has to wait."""
    waiting = asyncio.create_task(stack.enter_async_context(made.lease(amount)))
    done, _ = await asyncio.wait([waiting], timeout=3 * leases.POLL_S)
    if not done:
        waiting.cancel()
        await asyncio.wait([waiting])
        return None
    return waiting.result()


async def test_whole_gpus_are_given_once(tmp_path: Path, stack: AsyncExitStack) -> None:
    one = GpuLeases(lambda: gpus(0, 0, 0), folder=tmp_path / "l", run="one")
    other = GpuLeases(lambda: gpus(0, 0, 0), folder=tmp_path / "l", run="other")
    first = await taken(one, stack, 2)
    second = await taken(other, stack, 1)
    assert first is not None
    assert second is not None
    assert sorted(first + second) == ["GPU-0", "GPU-1", "GPU-2"]
    assert await taken(one, stack, 1) is None
    assert sorted((each.gpu, each.run) for each in one.leases()) == sorted(
        [*((gpu, "one") for gpu in first), (second[0], "other")]
    )
    await stack.aclose()
    assert one.leases() == []
    assert await taken(one, stack, 3) == ("GPU-0", "GPU-1", "GPU-2")


async def test_shares_fill_one_gpu_before_the_next(tmp_path: Path, stack: AsyncExitStack) -> None:
    made = GpuLeases(lambda: gpus(0, 0), folder=tmp_path)
    shares = [await taken(made, stack, 0.25) for _ in range(4)]
    assert len({share for share in shares if share}) == 1
    whole = await taken(made, stack, 1)
    assert whole is not None
    assert whole not in shares
    assert await taken(made, stack, 0.25) is None


async def test_no_lease_is_kept_while_waiting_for_more(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    made = GpuLeases(lambda: gpus(0, 0), folder=tmp_path)
    assert await taken(made, stack, 1) is not None
    assert await taken(made, stack, 2) is None
    assert await taken(made, stack, 1) is not None


async def test_a_gpu_that_somebody_uses_without_a_lease_is_passed_over(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    made = GpuLeases(lambda: gpus(30, 0.3), folder=tmp_path)
    assert await taken(made, stack, 1) == ("GPU-1",)
    assert await taken(made, stack, 1) is None


async def test_a_gpu_is_kept_until_its_memory_is_given_back(tmp_path: Path) -> None:
    used = 0.0
    looks = 0

    def look() -> list[Gpu]:
        nonlocal used, looks
        looks += 1
        if looks > 4:
            used = 0.0
        return gpus(used)

    made = GpuLeases(look, folder=tmp_path)
    async with made.lease(1):
        looks, used = 0, 40.0
    assert looks == 5
    assert made.leases() == []


HOLDER = """
import asyncio, sys
from pathlib import Path
from harness.evaluators.gpus.discovery import Gpu
from harness.evaluators.gpus.leases import GpuLeases
async def main():
    made = GpuLeases(lambda: [Gpu("GPU-0", 0, "T", 2**36, 0)], folder=Path(sys.argv[1]), run="r2")
    async with made.lease(1):
        print("held", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_the_lease_of_a_killed_process_is_free_at_once(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    made = GpuLeases(lambda: gpus(0), folder=tmp_path)
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(tmp_path), stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    [lease] = made.leases()
    assert (lease.run, lease.pid) == ("r2", holder.pid)
    assert await taken(made, stack, 1) is None
    os.kill(holder.pid, signal.SIGKILL)
    await holder.wait()
    assert made.leases() == []
    assert await taken(made, stack, 1) == ("GPU-0",)


async def test_alone_is_alone_and_is_not_passed(tmp_path: Path) -> None:
    turns = [HostTurn(tmp_path) for _ in range(3)]
    order: list[str] = []
    begun = asyncio.Event()

    async def evaluate(name: str, turn: HostTurn, *, alone: bool, wait_s: float) -> None:
        async with turn.take(alone=alone):
            order.append(f"+{name}")
            begun.set()
            await asyncio.sleep(wait_s)
            order.append(f"-{name}")

    first = asyncio.create_task(evaluate("a", turns[0], alone=False, wait_s=0.5))
    await begun.wait()
    timing = asyncio.create_task(evaluate("t", turns[1], alone=True, wait_s=0.3))
    await asyncio.sleep(0.05)
    later = asyncio.create_task(evaluate("b", turns[2], alone=False, wait_s=0.0))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(first, timing, later)
    assert order == ["+a", "-a", "+t", "-t", "+b", "-b"]


async def test_ordinary_turns_are_side_by_side(tmp_path: Path) -> None:
    turn = HostTurn(tmp_path)
    async with asyncio.timeout(PATIENCE_S), turn.take(alone=False), turn.take(alone=False):
        pass


SMI = """#!/bin/sh
test "$1" = --query-gpu=uuid,index,name,memory.total,memory.used || exit 9
cat <<END
GPU-aa, 0, NVIDIA A, 81559, 12
GPU-ab, 1, NVIDIA B, 40960, 40000
END
"""


def program(folder: Path, text: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_what_the_program_says(tmp_path: Path) -> None:
    found = by_program(program(tmp_path, SMI))
    assert found == [
        Gpu("GPU-aa", 0, "NVIDIA A", 81559 * 2**20, 12 * 2**20),
        Gpu("GPU-ab", 1, "NVIDIA B", 40960 * 2**20, 40000 * 2**20),
    ]
    assert by_program(str(tmp_path / "none")) is None


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\necho 'No devices' >&2; exit 6\n", "#!/bin/sh\necho 'GPU-1, what'\n"]
)
def test_a_driver_that_does_not_answer(tmp_path: Path, text: str) -> None:
    with pytest.raises(GpuQueryError, match=r"No devices|what"):
        by_program(program(tmp_path, text))


@pytest.mark.parametrize(
    ("value", "uuids"),
    [
        (None, ["GPU-aa", "GPU-ab"]),
        ("1,0", ["GPU-ab", "GPU-aa"]),
        ("GPU-ab", ["GPU-ab"]),
        ("", []),
        ("0,7,1", ["GPU-aa"]),
        ("GPU-a", []),
    ],
)
def test_what_a_scheduler_gave_us(tmp_path: Path, value: str | None, uuids: list[str]) -> None:
    found = by_program(program(tmp_path, SMI))
    assert found is not None
    assert [gpu.uuid for gpu in visible(found, value)] == uuids


def test_no_driver_is_no_gpu(tmp_path: Path) -> None:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has a driver")
    assert discover(str(tmp_path / "none"), {}) == []


def test_a_task_that_wants_more_than_there_is() -> None:
    require(gpus(0), 0.5, "t")
    with pytest.raises(ConfigurationError, match="wants 1 GPU for each evaluation; none"):
        require([], 1, "t")
    with pytest.raises(ConfigurationError, match="wants 2 GPUs for each evaluation; there are 1"):
        require(gpus(0), 2, "t")


def test_device_files(tmp_path: Path) -> None:
    devices, driver = tmp_path / "dev", tmp_path / "driver"
    devices.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps", "null"):
        (devices / name).touch()
    for number, uuid in enumerate(("GPU-a", "GPU-b")):
        folder = driver / f"0000:0{number}:00.0"
        folder.mkdir(parents=True)
        facts = f"Model: \t T\nGPU UUID: \t {uuid}\nDevice Minor: \t {number}\n"
        (folder / "information").write_text(facts, encoding="utf-8")

    def names(*wanted: str) -> tuple[list[str], list[str]]:
        given, hidden = device_files(wanted, devices, driver)
        return [Path(path).name for path in given], [Path(path).name for path in hidden]

    assert names("GPU-b") == (["nvidia-uvm", "nvidia1", "nvidiactl"], ["nvidia0"])
    assert names() == ([], ["nvidia-uvm", "nvidia0", "nvidia1", "nvidiactl"])
    # The driver does not know it: nothing is held back, or the candidate would have no GPU.
    assert names("GPU-c")[1] == []
