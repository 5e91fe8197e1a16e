"""An HTTP proxy to a list of hosts: `CONNECT` for TLS, and plain requests (RFC 9110, 9112)."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

MAX_HEAD_BYTES = 65_536
HEAD_TIMEOUT_S, CONNECT_TIMEOUT_S, IDLE_TIMEOUT_S = 15.0, 15.0, 300.0
MAX_CONNECTIONS = 128
BLOCK = 65_536
HOP_BY_HOP = frozenset(
    {"connection", "proxy-connection", "proxy-authorization", "keep-alive", "te", "upgrade"}
)


class EgressConfig(BaseModel):
    """Where agents' commands may go, by HTTP and HTTPS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: list[str] = Field(default_factory=list[str])
    """Names of hosts, such as `index.example.org` or `*.example.org` (every name below it); none:
    agents have no network."""
    ports: list[int] = Field(default_factory=lambda: [80, 443])
    """Ports of these hosts."""
    private: bool = False
    """Hosts may have addresses of private networks, this machine included."""


Told = Callable[[str, bool, str], None]
"""Host and port, whether it was allowed, and why not."""


class RefusedError(Exception):
    """A request that is not passed on; `status` is the answer's."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int
    head: bytes
    """What the host is sent first; empty for a tunnel."""


class EgressProxy:
    """Listens on a Unix socket. Belongs to one event loop.

    A host is looked up here and connected to by the address that was looked at, so a name cannot
    mean one thing for the check and another for the connection.
    """

    def __init__(
        self,
        config: EgressConfig,
        told: Told | None = None,
        *,
        head_timeout_s: float = HEAD_TIMEOUT_S,
    ) -> None:
        self._config = config
        self._head_timeout_s = head_timeout_s
        self._told: Told = told or _nothing
        self._server: asyncio.Server | None = None
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, path: Path) -> None:
        """Listen at `path`; whoever may enter its folder may connect."""
        self._server = await asyncio.start_unix_server(
            self._connected, path=str(path), limit=MAX_HEAD_BYTES
        )
        path.chmod(0o666)

    async def close(self) -> None:
        """End every connection. May be called twice."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        try:
            async with self._slots:
                await self._serve(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError, TimeoutError):
            pass  # either end went away, or the proxy ends
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target: _Target | None = None
        try:
            target = await _request(reader, self._head_timeout_s)
            self._check(target)
            address = await self._address(target)
            far_reader, far_writer = await _connect(address, target.port)
        except RefusedError as refused:
            if target is not None:
                self._told(f"{target.host}:{target.port}", False, str(refused))
            writer.write(_answer(refused))
            await writer.drain()
            return
        self._told(f"{target.host}:{target.port}", True, "")
        try:
            if target.head:
                far_writer.write(target.head)
            else:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
        finally:
            far_writer.close()

    def _check(self, target: _Target) -> None:
        if not allowed(target.host, self._config.hosts):
            listed = ", ".join(self._config.hosts)
            raise RefusedError(403, f"{target.host} is not allowed; allowed are {listed}")
        if target.port not in self._config.ports:
            ports = ", ".join(map(str, self._config.ports))
            raise RefusedError(403, f"port {target.port} is not allowed; allowed are {ports}")

    async def _address(self, target: _Target) -> str:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                found = await loop.getaddrinfo(
                    target.host, target.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
                )
        except (OSError, TimeoutError, UnicodeError) as error:
            raise RefusedError(502, f"{target.host} has no address ({error})") from None
        addresses = [str(each[4][0]) for each in found]
        if self._config.private:
            return addresses[0]
        for address in addresses:
            if ipaddress.ip_address(address).is_global:
                return address
        raise RefusedError(403, f"{target.host} has a private address")


def _nothing(target: str, allowed: bool, why: str) -> None:
    """Nobody is told."""


def allowed(host: str, patterns: Sequence[str]) -> bool:
    """Whether a host is among the listed names; `*.name` is every name below `name`."""
    name = host.lower().rstrip(".")
    for pattern in patterns:
        listed = pattern.lower().rstrip(".")
        if name == listed or (listed.startswith("*.") and name.endswith(listed[1:])):
            return bool(name)
    return False


async def _request(reader: asyncio.StreamReader, timeout_s: float) -> _Target:
    """The first request of a connection."""
    try:
        async with asyncio.timeout(timeout_s):
            head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.LimitOverrunError, TimeoutError):
        raise RefusedError(431, "a head that is too large or too slow") from None
    line, *fields = head[:-4].decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise RefusedError(400, "no request of HTTP/1.1")
    method, address, version = words
    if method == "CONNECT":
        host, port = _authority(address, None)
        return _Target(host, port, b"")
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.netloc or "@" in parts.netloc:
        raise RefusedError(400, "neither CONNECT nor an http:// address")
    host, port = _authority(parts.netloc, 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [field for field in fields if _name(field) not in HOP_BY_HOP | {"host"}]
    lines = [f"{method} {path} {version}", f"Host: {parts.netloc}", *kept, "Connection: close"]
    return _Target(host, port, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


def _name(field: str) -> str:
    return field.partition(":")[0].strip().lower()


def _authority(text: str, default: int | None) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port, path = parts.hostname, parts.port or default, parts.path
    except ValueError:
        host, port, path = None, None, ""
    if not host or port is None or path or "@" in text:
        raise RefusedError(400, "no host and port")
    return host, port


async def _connect(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await asyncio.open_connection(address, port)
    except (OSError, TimeoutError) as error:
        raise RefusedError(502, f"it does not answer ({error or 'too slow'})") from None


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            data = await reader.read(BLOCK)
        if not data:
            break
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _answer(refused: RefusedError) -> bytes:
    body = f"harness: {refused}\n".encode()
    return (
        f"HTTP/1.1 {refused.status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body
