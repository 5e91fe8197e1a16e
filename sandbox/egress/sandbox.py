"""A sandbox whose commands can reach the proxy."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from shutil import copyfile

from harness.sandbox.base import MIB, CommandStream, ExecResult, Mount, Sandbox
from harness.sandbox.egress.proxy import EgressConfig, EgressProxy, Told

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


class EgressSandbox:
    """Implements `Sandbox` by another one that has the mount of `open_egress`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        folder = sandbox.path(TARGET)
        self._words = ("python3", "-I", f"{folder}/{PROGRAM.name}", f"{folder}/{SOCKET}")
        self.path = sandbox.path
        self.read_file = sandbox.read_file
        self.write_file = sandbox.write_file
        self.frozen = sandbox.frozen
        self.close = sandbox.close

    @property
    def workdir(self) -> str:
        return self._sandbox.workdir

    async def exec(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        max_output_bytes: int = 10 * MIB,
    ) -> ExecResult:
        """As `Sandbox.exec`, with a way to the proxy."""
        return await self._sandbox.exec(
            [*self._words, *argv],
            timeout_s=timeout_s,
            stdin=stdin,
            env=env,
            cwd=cwd,
            max_output_bytes=max_output_bytes,
        )

    def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> AbstractAsyncContextManager[CommandStream]:
        """As `Sandbox.stream`, with a way to the proxy."""
        words = [*self._words, *argv]
        return self._sandbox.stream(words, timeout_s=timeout_s, env=env, cwd=cwd)
