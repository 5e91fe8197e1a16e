"""A sandbox by another one, for what is done to or around each of its commands."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from contextlib import nullcontext as nothing

from harness.sandbox.base import MIB, CommandStream, ExecResult, Sandbox


class WrappedSandbox:
    """Implements `Sandbox`; subclasses say what is different about commands."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.path = sandbox.path
        self.read_file = sandbox.read_file
        self.write_file = sandbox.write_file
        self.frozen = sandbox.frozen
        self.close = sandbox.close

    @property
    def workdir(self) -> str:
        return self._sandbox.workdir

    def command(self, argv: Sequence[str]) -> Sequence[str]:
        """What is run for a command."""
        return argv

    def around(self, timeout_s: float) -> AbstractContextManager[None]:
        """Held while a command runs that may take `timeout_s`."""
        return nothing()

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
        """As `Sandbox.exec`."""
        with self.around(timeout_s):
            return await self._sandbox.exec(
                self.command(argv),
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
        """As `Sandbox.stream`."""
        return self._stream(argv, timeout_s, env, cwd)

    @asynccontextmanager
    async def _stream(
        self,
        argv: Sequence[str],
        timeout_s: float,
        env: Mapping[str, str] | None,
        cwd: str | None,
    ) -> AsyncGenerator[CommandStream]:
        words = self.command(argv)
        with self.around(timeout_s):
            async with self._sandbox.stream(words, timeout_s=timeout_s, env=env, cwd=cwd) as stream:
                yield stream
