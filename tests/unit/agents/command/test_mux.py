"""Many connections over one stream of bytes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.command.inside.mux import (
    CREDIT,
    CREDITS,
    DATA,
    EVENT,
    HEAD,
    MAX_CHANNELS,
    MAX_FRAME,
    OPEN,
    WINDOW,
    Channel,
    Decoder,
    Mux,
    ProtocolError,
    frame,
)

PATIENCE_S = 30


class Pipe:
    """Bytes from one end to the other, handed out in pieces of `piece`."""

    def __init__(self, piece: int = 1 << 20) -> None:
        self._piece = piece
        self._buffer = bytearray()
        self._changed = asyncio.Event()
        self.ended = False
        self.total = 0

    async def write(self, data: bytes) -> None:
        self.total += len(data)
        self._buffer += data
        self._changed.set()

    def end(self) -> None:
        self.ended = True
        self._changed.set()

    async def read(self) -> bytes:
        while not self._buffer and not self.ended:
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self._buffer[: self._piece])
        del self._buffer[: self._piece]
        return data


class Two:
    """Both ends of a relay in one process."""

    def __init__(self, piece: int = 1 << 20) -> None:
        self.up, self.down = Pipe(piece), Pipe(piece)
        self.accepted: dict[str, Channel] = {}
        self.messages: list[dict[str, Any]] = []
        self.inside = Mux(self.down.read, self.up.write, self.messages.append)
        self.harness = Mux(
            self.up.read, self.down.write, self.messages.append, self.accepted.__setitem__
        )

    async def channel(self, service: str) -> tuple[Channel, Channel]:
        opened = self.inside.open(service)
        while service not in self.accepted:
            await asyncio.sleep(0)
        return opened, self.accepted[service]


@asynccontextmanager
async def two(piece: int = 1 << 20) -> AsyncGenerator[Two]:
    ends = Two(piece)
    tasks = [asyncio.create_task(mux.run()) for mux in (ends.inside, ends.harness)]
    async with asyncio.timeout(PATIENCE_S):
        yield ends
    ends.up.end()
    ends.down.end()
    await asyncio.gather(*tasks)


async def everything(channel: Channel) -> bytes:
    found = b""
    while data := await channel.read():
        found += data
    return found


@given(
    frames=st.lists(
        st.tuples(st.integers(1, 6), st.integers(0, 2**32 - 1), st.binary(max_size=50)), max_size=10
    ),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_frames_are_the_same_wherever_the_stream_is_cut(
    frames: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    data = b"".join(frame(*each) for each in frames)
    decoder, found, at = Decoder(MAX_FRAME), list[tuple[int, int, bytes]](), 0
    while at < len(data):
        for cut in cuts:
            found += decoder.feed(data[at : at + cut])
            at += cut
    assert found == frames


def test_a_frame_that_is_too_long_is_refused_by_its_head() -> None:
    with pytest.raises(ProtocolError, match="limit"):
        Decoder(100).feed(HEAD.pack(DATA, 1, 101))


@given(
    texts=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8),
    piece=st.integers(1, 70),
)
def test_connections_do_not_mix(texts: list[bytes], piece: int) -> None:
    async def run() -> None:
        async with two(piece) as ends:
            pairs = [await ends.channel(str(number)) for number in range(len(texts))]

            async def echo(there: Channel) -> None:
                while data := await there.read():
                    await there.write(data.hex().encode())
                there.end()

            async def send(here: Channel, text: bytes) -> bytes:
                for at in range(0, len(text), 7):
                    await here.write(text[at : at + 7])
                    await asyncio.sleep(0)
                here.end()
                return await everything(here)

            echoes = [asyncio.create_task(echo(there)) for _, there in pairs]
            sent = [send(here, text) for (here, _), text in zip(pairs, texts, strict=True)]
            assert await asyncio.gather(*sent) == [text.hex().encode() for text in texts]
            await asyncio.gather(*echoes)
            assert not ends.inside.channels
            assert not ends.harness.channels

    asyncio.run(run())


async def test_a_reader_that_waits_holds_up_its_own_connection_only() -> None:
    async with two() as ends:
        slow, slow_there = await ends.channel("slow")
        data = bytes(3 * WINDOW)
        writing = asyncio.create_task(slow.write(data))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not writing.done()
        assert ends.up.total < 2 * WINDOW
        quick, quick_there = await ends.channel("quick")
        await quick.write(b"first")
        assert await quick_there.read() == b"first"
        slow_reading = asyncio.create_task(everything(slow_there))
        await writing
        slow.end()
        assert await slow_reading == data


async def test_a_reset_reaches_both_who_read_and_who_write() -> None:
    async with two() as ends:
        here, there = await ends.channel("c")
        reading = asyncio.create_task(here.read())
        await asyncio.sleep(0)
        there.close()
        with pytest.raises(ConnectionError):
            await reading
        with pytest.raises(ConnectionError):
            await here.write(b"x")


async def test_messages_come_in_order() -> None:
    async with two() as ends:
        for number in range(5):
            ends.inside.say({"number": number})
        await ends.inside.flushed()
        while len(ends.messages) < 5:
            await asyncio.sleep(0)
        assert ends.messages == [{"number": number} for number in range(5)]


@pytest.mark.parametrize(
    "data",
    [
        frame(OPEN, 1, b"a") + frame(OPEN, 1, b"b"),
        frame(OPEN, 2, b"a") + frame(OPEN, 1, b"b"),
        frame(OPEN, 1, b"a") + frame(CREDIT, 1, CREDITS.pack(1)),
        frame(OPEN, 1, b"a") + frame(DATA, 1, bytes(MAX_FRAME)) * (WINDOW // MAX_FRAME + 1),
        frame(EVENT, 0, b"[]"),
        frame(EVENT, 0, b"not json"),
        frame(99, 1),
        frame(CREDIT, 1, b"") + frame(OPEN, 1, b"a") + frame(CREDIT, 1, b"x"),
        HEAD.pack(DATA, 1, MAX_FRAME + 1),
    ],
)
async def test_who_does_not_keep_to_the_protocol_is_left(data: bytes) -> None:
    ends = Two()
    await ends.up.write(data)
    with pytest.raises(ProtocolError):
        await asyncio.wait_for(ends.harness.run(), PATIENCE_S)


async def test_no_more_connections_than_the_limit() -> None:
    async with two() as ends:
        for number in range(MAX_CHANNELS + 1):
            ends.inside.open(str(number))
        last = ends.inside.channels[MAX_CHANNELS + 1]
        with pytest.raises(ConnectionError):
            await last.read()
        assert len(ends.accepted) == MAX_CHANNELS
        assert len(ends.harness.channels) == MAX_CHANNELS
