"""On a machine with a GPU: who is given one sees that one, and nobody else sees any.

pytest -m gpu tests/gpu
"""

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.errors import SandboxUnavailableError
from harness.evaluators.gpus.discovery import Gpu, by_nvml, by_program, discover
from harness.evaluators.gpus.leases import GpuLeases
from harness.sandbox.base import Limits, Mount, Purpose, SandboxProvider, SandboxSpec
from harness.sandbox.bubblewrap import BubblewrapProvider
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

LIMITS = Limits(memory_bytes=16 * 2**30, pids=512)
COUNT = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
number = ctypes.c_int(0)
status = cuda.cuInit(0)
if status == 0:
    cuda.cuDeviceGetCount(ctypes.byref(number))
print(status, number.value)
"""
"""Asks the driver itself, whatever the environment's variables say."""


@pytest.fixture(params=[ProcessProvider, BubblewrapProvider])
async def provider(request: pytest.FixtureRequest) -> AsyncGenerator[SandboxProvider]:
    with ThreadPoolExecutor(4) as executor:
        made = request.param(SandboxConfig(unsafe=True), executor)
        try:
            await made.describe()
        except SandboxUnavailableError as error:
            pytest.skip(str(error))
        yield made
        await made.close()


async def driver_counts(
    provider: SandboxProvider, purpose: Purpose, given: tuple[str, ...], **env: str
) -> tuple[int, int]:
    """What `cuInit` says in a sandbox, and how many devices the driver shows there."""
    with TemporaryDirectory() as folder:
        mount = Mount(Path(folder), "/work", read_only=False)
        spec = SandboxSpec(purpose, (mount,), limits=LIMITS, gpus=given, env=env)
        sandbox = await provider.create(spec)
        try:
            ended = await sandbox.exec(["python3", "-c", COUNT], timeout_s=120)
        finally:
            await sandbox.close()
    assert ended.ok, ended
    status, number = map(int, ended.stdout.split())
    return status, number


def test_both_ways_to_ask_agree(gpus: list[Gpu]) -> None:
    library, program = by_nvml(), by_program()
    if library is None or program is None:
        pytest.skip("one of NVML's bindings and nvidia-smi is missing")
    assert [(g.uuid, g.index, g.name) for g in library] == [
        (g.uuid, g.index, g.name) for g in program
    ]
    for one, other in zip(library, program, strict=True):
        assert abs(one.memory_bytes - other.memory_bytes) < 2**30
        assert other.minor in (None, one.minor)


async def test_a_lease_is_seen_inside(gpus: list[Gpu], provider: SandboxProvider) -> None:
    with TemporaryDirectory() as folder:
        leases = GpuLeases(discover, folder=Path(folder))
        async with leases.lease(1) as given:
            assert await driver_counts(provider, "produce", given) == (0, 1)
            assert [lease.gpu for lease in leases.leases()] == list(given)


@pytest.mark.parametrize("purpose", ["agent", "produce"])
async def test_who_has_no_lease_sees_no_gpu(
    gpus: list[Gpu], provider: SandboxProvider, purpose: Purpose
) -> None:
    assert (await driver_counts(provider, purpose, ()))[1] == 0


async def test_the_variable_does_not_help_who_has_no_lease(
    gpus: list[Gpu], provider: SandboxProvider
) -> None:
    if provider.owner is None and isinstance(provider, ProcessProvider):
        pytest.skip("plain processes of an ordinary user see the machine's devices")
    assert (await driver_counts(provider, "agent", (), CUDA_VISIBLE_DEVICES="0"))[1] == 0
