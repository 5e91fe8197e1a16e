"""A command that is talked to while it runs, over a socket to its standard input and output."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import CommandStream, ExecResult

_BUFFER = 1 << 18


class SocketStream:
    """Implements `CommandStream`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ending: "asyncio.Task[ExecResult]",
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._ending = ending

    async def read(self, limit: int = 65_536) -> bytes:
        try:
            return await self._reader.read(limit)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def result(self) -> ExecResult:
        return await asyncio.shield(self._ending)


@contextlib.asynccontextmanager
async def streaming(
    channel: socket.socket, ending: Coroutine[Any, Any, ExecResult]
) -> AsyncGenerator[CommandStream]:
    """The command at the other end of `channel`, which this closes.

    `ending` waits for its end, and ends it when cancelled.
    """
    task = asyncio.create_task(ending)
    try:
        await asyncio.sleep(0)  # it has begun: cancelling it ends the command
        reader, writer = await asyncio.open_connection(sock=channel, limit=_BUFFER)
        try:
            yield SocketStream(reader, writer, task)
        finally:
            writer.transport.abort()
    finally:
        task.cancel()
        channel.close()
        await asyncio.wait([task])
        with contextlib.suppress(asyncio.CancelledError, SandboxUnavailableError):
            task.result()  # whoever wanted to know has asked
