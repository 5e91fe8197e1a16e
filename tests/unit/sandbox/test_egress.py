"""The proxy over real sockets: what is passed on, and what is not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox.egress.proxy import (
    HEAD_TIMEOUT_S,
    MAX_HEAD_BYTES,
    EgressConfig,
    EgressProxy,
    allowed,
)

Exchange = Callable[[bytes], Awaitable[bytes]]
Told = list[tuple[str, bool]]


class Far:
    """A host that answers with what it was sent, after a word of its own."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.heard.append(data)
            writer.write(b"far:" + data)
            if b"\r\n\r\n" in data:
                break
        writer.close()


@pytest.fixture
async def far() -> AsyncIterator[tuple[Far, int]]:
    host = Far()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    yield host, server.sockets[0].getsockname()[1]
    server.close()


async def exchange(
    config: EgressConfig,
    data: bytes,
    told: Told | None = None,
    *,
    end: bool = True,
    head_timeout_s: float = HEAD_TIMEOUT_S,
) -> bytes:
    """What the proxy answers to `data`, to the end of the connection."""
    said = [] if told is None else told
    proxy = EgressProxy(
        config,
        lambda target, ok, why: said.append((target, ok)),
        head_timeout_s=head_timeout_s,
    )
    with TemporaryDirectory() as folder:
        await proxy.start(Path(folder) / "s")
        reader, writer = await asyncio.open_unix_connection(f"{folder}/s")
        writer.write(data)
        if end:
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        await proxy.close()
    return answer


def local(port: int) -> EgressConfig:
    return EgressConfig(hosts=["localhost"], ports=[port], private=True)


async def test_a_plain_request_is_passed_on(far: tuple[Far, int]) -> None:
    host, port = far
    request = (
        f"GET http://localhost:{port}/a?b=c HTTP/1.1\r\nHost: other.example\r\nX: y\r\n"
        "Proxy-Authorization: Basic eA==\r\nConnection: keep-alive\r\n\r\n"
    )
    answer = await exchange(local(port), request.encode())
    assert answer.startswith(b"far:GET /a?b=c HTTP/1.1\r\n")
    sent = b"".join(host.heard)
    # The host is the one that was checked; what concerns the proxy stays here.
    assert f"Host: localhost:{port}".encode() in sent
    assert b"other.example" not in sent
    assert b"Proxy-Authorization" not in sent
    assert b"Connection: close" in sent
    assert b"X: y" in sent


async def test_a_tunnel_carries_both_ways(far: tuple[Far, int]) -> None:
    host, port = far
    told: Told = []
    request = f"CONNECT localhost:{port} HTTP/1.1\r\n\r\nhello".encode()
    answer = await exchange(local(port), request, told)
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\nfar:hello"
    assert host.heard == [b"hello"]
    assert told == [(f"localhost:{port}", True)]


@pytest.mark.parametrize(
    ("target", "status", "why"),
    [
        ("evil.example:443", 403, b"allowed are localhost"),
        ("localhost.evil.example:443", 403, b"not allowed"),
        ("127.0.0.1:{port}", 403, b"not allowed"),
        ("[::1]:{port}", 403, b"not allowed"),
        ("localhost:22", 403, b"port 22"),
        ("localhost", 400, b"no host and port"),
        ("localhost:x", 400, b"no host and port"),
        ("a@localhost:{port}", 400, b"no host and port"),
        ("", 400, b""),
    ],
)
async def test_tunnels_that_are_refused(
    far: tuple[Far, int], target: str, status: int, why: bytes
) -> None:
    host, port = far
    told: Told = []
    line = f"CONNECT {target.format(port=port)} HTTP/1.1\r\n\r\n".encode()
    answer = await exchange(local(port), line, told)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert why in answer
    assert host.heard == []
    assert all(not ok for _, ok in told)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET ftp://localhost/ HTTP/1.1\r\n\r\n",
        b"GET http://user:pw@localhost/ HTTP/1.1\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET http://localhost/ SPDY/3\r\n\r\n",
        b"\r\n\r\n",
        b"X" * (MAX_HEAD_BYTES * 2) + b"\r\n\r\n",
    ],
)
async def test_malformed_heads_are_refused(far: tuple[Far, int], head: bytes) -> None:
    host, port = far
    answer = await exchange(local(port), head)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert host.heard == []


async def test_private_addresses_are_refused(far: tuple[Far, int]) -> None:
    host, port = far
    config = EgressConfig(hosts=["localhost"], ports=[port])
    answer = await exchange(config, f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode())
    assert b"403" in answer
    assert b"private address" in answer
    assert host.heard == []


async def test_a_name_without_an_address_and_a_closed_port_are_told() -> None:
    config = EgressConfig(hosts=["*.invalid", "localhost"], ports=[1], private=True)
    for name in (b"nowhere.invalid", b"localhost"):
        answer = await exchange(config, b"CONNECT " + name + b":1 HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 502 ")


async def test_a_slow_head_is_given_up(far: tuple[Far, int]) -> None:
    half = b"GET http://localhost/"
    answer = await exchange(local(far[1]), half, end=False, head_timeout_s=0.2)
    assert answer.startswith(b"HTTP/1.1 431 ")


@given(st.text("abc.-*", max_size=12), st.text("abc.", max_size=8))
def test_names_are_matched_whole(host: str, below: str) -> None:
    assert allowed("a.example", ["a.example"])
    assert allowed("A.Example.", ["*.example"])
    assert not allowed("example", ["*.example"])
    assert not allowed("anexample", ["*.example"])
    assert not allowed(host, [])
    assert not allowed(f"{below}.evil", ["*.example", "a.example", host + ".x"])
