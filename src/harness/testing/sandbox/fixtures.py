"""Fixtures and helpers of the sandbox contract."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from harness.sandbox.base import (
    MIB,
    Capabilities,
    ExecResult,
    Guarantee,
    Limits,
    Mount,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
)

LIMITS = Limits(
    memory_bytes=192 * MIB,
    pids=48,
    disk_bytes=16 * MIB,
    inodes=400,
    file_bytes=8 * MIB,
    scratch_bytes=16 * MIB,
)
PATIENCE_S = 60.0
"""For commands that end by themselves; generous, because machines are shared."""


class OpenSandbox(Protocol):
    """Opens a sandbox whose `/work` is the writable `folder` and `/data` a read-only folder."""

    def __call__(self, folder: str = "work", *, limits: Limits = LIMITS) -> Awaitable[Sandbox]: ...


def host_processes(marker: str) -> list[int]:
    """Processes of this machine with `marker` in their command line."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in words:
                found.append(int(entry.name))
    return found


async def python(
    sandbox: Sandbox, script: str, *arguments: str, timeout_s: float = PATIENCE_S
) -> ExecResult:
    return await sandbox.exec(["python3", "-c", script, *arguments], timeout_s=timeout_s)


class SandboxFixtures:
    @pytest.fixture
    async def provider(self) -> AsyncIterator[SandboxProvider]:
        pytest.fail("override the fixture `provider`")
        yield  # noqa: PT022 - overridden by asynchronous generators, so this one is typed as one

    @pytest.fixture
    async def capabilities(self, provider: SandboxProvider) -> Capabilities:
        return await provider.describe()

    @pytest.fixture
    def marker(self) -> str:
        """A word that no other process of the machine has in its command line."""
        return f"marker-{secrets.token_hex(8)}"

    @pytest.fixture
    async def open_sandbox(
        self, provider: SandboxProvider, tmp_path: Path
    ) -> AsyncIterator[OpenSandbox]:
        data = tmp_path / "data"
        data.mkdir()
        (data / "given.txt").write_text("given", encoding="utf-8")
        async with AsyncExitStack() as stack:

            async def make(folder: str = "work", *, limits: Limits = LIMITS) -> Sandbox:
                work = tmp_path / folder
                work.mkdir()
                spec = SandboxSpec(
                    purpose="produce",
                    mounts=(Mount(work, "/work", read_only=False), Mount(data, "/data")),
                    limits=limits,
                    env={"GIVEN": "yes"},
                    labels={"harness.run": "contract"},
                )
                sandbox = await provider.create(spec)
                stack.push_async_callback(sandbox.close)
                return sandbox

            yield make

    @pytest.fixture
    async def sandbox(self, open_sandbox: OpenSandbox) -> Sandbox:
        return await open_sandbox()

    @pytest.fixture
    def requires(self, capabilities: Capabilities) -> Callable[[Guarantee], None]:
        def check(guarantee: Guarantee) -> None:
            if guarantee in capabilities.not_enforced:
                pytest.skip(f"{capabilities.name} does not enforce here: {guarantee.value}")

        return check
