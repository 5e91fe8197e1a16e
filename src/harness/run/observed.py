"""An agent's sandbox, watched: while a command runs, the run knows that the agent is busy."""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from harness.sandbox.base import MIB, CommandStream, ExecResult, Sandbox

Notice = Callable[[str, float | None], None]
"""Told `running` and the command's limit in seconds when one starts, and `working` and None when
the last one has ended."""


class ObservedSandbox:
    """A `Sandbox` that tells when its commands start and end."""

    def __init__(self, sandbox: Sandbox, notice: Notice) -> None:
        self._sandbox = sandbox
        self._notice = notice
        self._running = 0

    @property
    def workdir(self) -> str:
        return self._sandbox.workdir

    def path(self, target: str) -> str:
        return self._sandbox.path(target)

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
        with self._noticed(timeout_s):
            return await self._sandbox.exec(
                argv,
                timeout_s=timeout_s,
                stdin=stdin,
                env=env,
                cwd=cwd,
                max_output_bytes=max_output_bytes,
            )

    @asynccontextmanager
    async def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> AsyncGenerator[CommandStream]:
        with self._noticed(timeout_s):
            async with self._sandbox.stream(argv, timeout_s=timeout_s, env=env, cwd=cwd) as stream:
                yield stream

    @contextmanager
    def _noticed(self, timeout_s: float) -> Generator[None]:
        self._running += 1
        self._notice("running", timeout_s)
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._notice("working", None)

    async def read_file(self, path: str, *, max_bytes: int = 100 * MIB) -> bytes:
        return await self._sandbox.read_file(path, max_bytes=max_bytes)

    async def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        await self._sandbox.write_file(path, data, executable=executable)

    def frozen(self) -> AbstractAsyncContextManager[None]:
        return self._sandbox.frozen()

    async def close(self) -> None:
        await self._sandbox.close()
