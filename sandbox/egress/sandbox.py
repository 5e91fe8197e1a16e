"""A sandbox whose commands can reach the proxy."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copyfile

from harness.sandbox.base import Mount, Sandbox
from harness.sandbox.egress.proxy import EgressConfig, EgressProxy, Told
from harness.sandbox.wrapped import WrappedSandbox

TARGET = "/egress"
PROGRAM = Path(__file__).resolve().with_name("forward.py")
SOCKET = "proxy.sock"


@asynccontextmanager
async def open_egress(folder: Path, config: EgressConfig, told: Told) -> AsyncGenerator[Mount]:
    """A proxy that listens in `folder`; what a sandbox needs to reach it.

    Args:
        folder: Empty, of a short path, and open to the sandboxes' users.
    """
    copyfile(PROGRAM, folder / PROGRAM.name)
    (folder / PROGRAM.name).chmod(0o644)
    proxy = EgressProxy(config, told)
    await proxy.start(folder / SOCKET)
    try:
        yield Mount(folder, TARGET)
    finally:
        await proxy.close()


class EgressSandbox(WrappedSandbox):
    """A `Sandbox` that has the mount of `open_egress`; its commands have a way to the proxy."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        folder = sandbox.path(TARGET)
        self._words = ("python3", "-I", f"{folder}/{PROGRAM.name}", f"{folder}/{SOCKET}")

    def command(self, argv: Sequence[str]) -> Sequence[str]:
        """What is run for a command."""
        return [*self._words, *argv]
