"""Many connections over one stream of bytes. Both ends of the relay use it.

A frame is a head (kind, channel, size) and a payload. A channel is one connection: bytes in order
in both directions, each of which ends on its own (`EOF`) or with the other (`RESET`). A sender has
`WINDOW` bytes of credit; the reader gives credit back for what it took, so a slow reader holds up
its own channel only and nothing piles up.
"""

from __future__ import annotations

import asyncio
import json
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

HEAD = struct.Struct(">BII")
OPEN, DATA, EOF, RESET, CREDIT, EVENT = 1, 2, 3, 4, 5, 6
CREDITS = struct.Struct(">I")
BLOCK = 32_768
WINDOW = 262_144
MAX_CHANNELS = 256
MAX_FRAME = 65_536
MAX_START = MAX_BACKLOG = 16_777_216


class ProtocolError(Exception):
    """The other end does not keep to the protocol."""


def frame(kind: int, channel: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(kind, channel, len(payload)) + payload


class Decoder:
    """Splits a stream into frames, wherever it is cut."""

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame
        self.buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        self.buffer += data
        frames: list[tuple[int, int, bytes]] = []
        at = 0
        while len(self.buffer) - at >= HEAD.size:
            kind, channel, size = HEAD.unpack_from(self.buffer, at)
            if size > self.max_frame:
                raise ProtocolError(f"a frame of {size} bytes, limit {self.max_frame}")
            end = at + HEAD.size + size
            if len(self.buffer) < end:
                break
            frames.append((kind, channel, bytes(self.buffer[at + HEAD.size : end])))
            at = end
        del self.buffer[:at]
        return frames


class Channel:
    """One connection. One reader and one writer at a time."""

    def __init__(self, mux: Mux, number: int) -> None:
        self.mux = mux
        self.number = number
        self.credit = WINDOW
        self.received: list[bytes] = []
        self.unread = 0
        self.ended = self.reset_by_peer = self.closed = self.end_sent = False
        self.changed = asyncio.Event()

    async def read(self) -> bytes:
        """The next bytes; empty at the end.

        Raises:
            ConnectionError: The other end is gone.
        """
        while not self.received:
            self.check()
            if self.ended:
                return b""
            await self.wait()
        data = self.received.pop(0)
        self.unread -= len(data)
        if not (self.ended or self.closed):
            self.mux.post(frame(CREDIT, self.number, CREDITS.pack(len(data))))
        return data

    async def write(self, data: bytes) -> None:
        """Send; waits for credit.

        Raises:
            ConnectionError: The other end is gone.
        """
        at = 0
        while at < len(data):
            self.check()
            if self.credit == 0:
                await self.wait()
                continue
            block = data[at : at + min(self.credit, BLOCK)]
            self.credit -= len(block)
            at += len(block)
            await self.mux.send(frame(DATA, self.number, block))

    def end(self) -> None:
        """Nothing more will be written."""
        if not (self.end_sent or self.closed):
            self.end_sent = True
            self.mux.post(frame(EOF, self.number))
            self.mux.forget(self)

    def close(self) -> None:
        """End both directions at once, unless both have ended."""
        if not self.closed and not (self.ended and self.end_sent):
            self.mux.post(frame(RESET, self.number))
        self.closed = True
        self.mux.forget(self)
        self.changed.set()

    def check(self) -> None:
        if self.reset_by_peer or self.closed:
            raise ConnectionResetError("the connection was closed by the other end")

    async def wait(self) -> None:
        self.changed.clear()
        await self.changed.wait()

    def take(self, kind: int, payload: bytes) -> None:
        """What came from the other end."""
        if kind == DATA:
            self.unread += len(payload)
            if self.unread > WINDOW or self.ended:
                raise ProtocolError("more data than there was credit for")
            if payload:
                self.received.append(payload)
        elif kind == EOF:
            self.ended = True
        elif kind == RESET:
            self.reset_by_peer = True
        elif kind == CREDIT:
            (more,) = CREDITS.unpack(payload)
            self.credit += more
            if self.credit > WINDOW:
                raise ProtocolError("more credit than was used")
        self.changed.set()


class Mux:
    """Many channels over one stream of bytes, which `read` and `write` are the ends of.

    `accept` is told of channels that the other end opens; without it none may be opened. `event`
    is told of messages.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        write: Callable[[bytes], Awaitable[None]],
        event: Callable[[dict[str, Any]], None],
        accept: Callable[[str, Channel], None] | None = None,
        max_frame: int = MAX_FRAME,
    ) -> None:
        self.read = read
        self.write = write
        self.event = event
        self.accept = accept
        self.decoder = Decoder(max_frame)
        self.channels: dict[int, Channel] = {}
        self.opened = 0
        self.waiting: list[bytes] = []
        self.waiting_bytes = 0
        self.wake = asyncio.Event()
        self.drained = asyncio.Event()
        self.over = False

    def open(self, service: str) -> Channel:
        """A new channel to a service of the other end."""
        self.opened += 1
        channel = self.channels[self.opened] = Channel(self, self.opened)
        self.post(frame(OPEN, channel.number, service.encode()))
        return channel

    def say(self, message: dict[str, Any]) -> None:
        """Send a message."""
        self.post(frame(EVENT, 0, json.dumps(message).encode()))

    def post(self, data: bytes) -> None:
        """Send without waiting."""
        if not self.over:
            self.waiting.append(data)
            self.waiting_bytes += len(data)
            self.wake.set()

    async def send(self, data: bytes) -> None:
        """Send; waits while much is on its way."""
        while self.waiting_bytes > WINDOW and not self.over:
            self.drained.clear()
            await self.drained.wait()
        self.post(data)

    async def flushed(self) -> None:
        """When everything that was sent is written."""
        while (self.waiting_bytes or self.wake.is_set()) and not self.over:
            self.drained.clear()
            await self.drained.wait()

    async def run(self) -> None:
        """Move frames until the other end is gone.

        Raises:
            ProtocolError: The other end does not keep to the protocol.
        """
        writing = asyncio.ensure_future(self.write_all())
        reading = asyncio.ensure_future(self.read_all())
        try:
            await asyncio.wait([writing, reading], return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, writing):
                if task.done() and not isinstance(task.exception(), (OSError, type(None))):
                    raise ProtocolError(str(task.exception())) from task.exception()
        finally:
            self.over = True
            self.drained.set()
            for task in (reading, writing):
                task.cancel()
            await asyncio.wait([reading, writing])
            for channel in list(self.channels.values()):
                channel.reset_by_peer = True
                channel.changed.set()

    async def write_all(self) -> None:
        while True:
            await self.wake.wait()
            data = b"".join(self.waiting)
            self.waiting.clear()
            await self.write(data)
            self.waiting_bytes -= len(data)
            if not self.waiting:
                self.wake.clear()
            self.drained.set()

    async def read_all(self) -> None:
        while True:
            data = await self.read()
            if not data:
                return
            for kind, number, payload in self.decoder.feed(data):
                self.take(kind, number, payload)

    def take(self, kind: int, number: int, payload: bytes) -> None:
        if self.waiting_bytes > MAX_BACKLOG:
            raise ProtocolError("answers are not read")
        if kind == EVENT:
            if not payload.startswith(b"{"):
                raise ProtocolError("a message that is no object")
            self.event(json.loads(payload))
        elif kind == OPEN:
            if self.accept is None or number in self.channels or number <= self.opened:
                raise ProtocolError("a channel that cannot be opened")
            self.opened = number
            channel = Channel(self, number)
            if len(self.channels) >= MAX_CHANNELS:
                channel.close()
                return
            self.channels[number] = channel
            self.accept(payload.decode("ascii", "replace"), channel)
        elif number in self.channels:
            channel = self.channels[number]
            channel.take(kind, payload)
            self.forget(channel)
        elif kind not in (DATA, EOF, RESET, CREDIT):
            raise ProtocolError(f"a frame of the unknown kind {kind}")
        # Else what was on its way when this end closed the channel.

    def forget(self, channel: Channel) -> None:
        """Drop a channel that has come to its end."""
        over = channel.closed or channel.reset_by_peer or (channel.ended and channel.end_sent)
        if over and self.channels.get(channel.number) is channel:
            del self.channels[channel.number]


async def splice(
    channel: Channel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Join a channel and a connection until both directions have ended or one breaks."""

    async def outwards() -> None:
        while True:
            data = await reader.read(BLOCK)
            if not data:
                channel.end()
                return
            await channel.write(data)

    async def inwards() -> None:
        while True:
            data = await channel.read()
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    tasks = [asyncio.ensure_future(outwards()), asyncio.ensure_future(inwards())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.exception()  # a broken connection ends both directions
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        channel.close()
        writer.close()
