"""The byte stream of one command in a container: stdin in, stdout and stderr out, within bounds.

The connection is our own and not the client library's: that one reads the response through a
buffer and then goes on without it, so output which arrives together with the response is lost.
"""

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import ExecEnd

_BLOCK = 65_536
_HEADER_BYTES = 8
_RESPONSE_BYTES = 65_536
# How long one wait may be: deadlines, cancelling and the disk are looked at in between.
_TICK_S = 0.1
# With output held open by a child, the daemon is asked this often whether the command has ended.
_IDLE_S = 0.5
_STREAM_STDERR = 2

Stop = tuple[ExecEnd, str]
"""Why a command is ended from outside, and the evidence."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What ends a command from outside.

    `remaining_s` answers how long it may still run; `watch` is asked now and then and says when
    something else has gone beyond its bounds; `cancelled` is set by whoever no longer wants it.
    """

    remaining_s: Callable[[], float]
    watch: Callable[[], Stop | None]
    cancelled: threading.Event
    max_output_bytes: int

    @classmethod
    def until(cls, remaining_s: Callable[[], float], max_output_bytes: int) -> "Bounds":
        """Bounded by time and output only."""
        return cls(remaining_s, lambda: None, threading.Event(), max_output_bytes)


class Demultiplexer:
    """Splits the daemon's frames (stream number, three zero bytes, length; payload) by stream.

    Keeps no more than `limit` bytes of payload; `overflowed` tells that there was more.
    """

    def __init__(self, limit: int) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.overflowed = False
        self._room = limit
        self._header = bytearray()
        self._target = self.stdout
        self._missing = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream, split anywhere."""
        view = memoryview(data)
        while view:
            if self._missing == 0:
                taken = view[: _HEADER_BYTES - len(self._header)]
                self._header += taken
                view = view[len(taken) :]
                if len(self._header) < _HEADER_BYTES:
                    return
                self._target = self.stderr if self._header[0] == _STREAM_STDERR else self.stdout
                self._missing = int.from_bytes(self._header[4:], "big")
                self._header.clear()
                continue
            payload = view[: self._missing]
            self._missing -= len(payload)
            view = view[len(payload) :]
            self._target += payload[: self._room]
            self.overflowed = self.overflowed or len(payload) > self._room
            self._room -= min(len(payload), self._room)

    def take(self) -> bytes:
        """Standard output so far, which makes room for more."""
        data = bytes(self.stdout)
        self.stdout.clear()
        self._room += len(data)
        return data


class ExecStream:
    """The attached stream of a started exec. Used by one thread at a time."""

    def __init__(self, connection: socket.socket, received: bytes) -> None:
        self._connection = connection
        self._received = received

    @classmethod
    def start(cls, address: str, api_version: str, exec_id: str, timeout_s: float) -> "ExecStream":
        """Start a created exec and attach to it.

        Raises:
            SandboxUnavailableError: The daemon refuses or does not answer within `timeout_s`.
        """
        body = json.dumps({"Detach": False, "Tty": False}).encode()
        request = (
            f"POST /v{api_version}/exec/{exec_id}/start HTTP/1.1\r\nHost: docker\r\n"
            "Content-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        try:
            connection = _connect(address, timeout_s)
        except OSError as error:
            raise SandboxUnavailableError(f"the Docker daemon at {address}: {error}") from error
        try:
            connection.sendall(request + body)
            received = _read_response(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):
                raise SandboxUnavailableError(f"attaching to a command: {error}") from error
            raise
        return cls(connection, received)

    def close(self) -> None:
        self._connection.close()

    def pump(
        self, stdin: bytes, output: Demultiplexer, bounds: Bounds, running: Callable[[], bool]
    ) -> Stop | None:
        """Move bytes until the command has ended; blocks. `running` asks the daemon.

        Returns why the command has to be ended by force, or None when it ended by itself.

        Raises:
            SandboxUnavailableError: The daemon does not answer.
        """
        output.feed(self._received)
        sender = _Sender(self._connection, stdin)
        self._connection.setblocking(False)
        heard = time.monotonic()
        attached = True
        while True:
            stop = why_stop(output, bounds)
            if stop is not None:
                return stop
            pause_s = min(_TICK_S, max(bounds.remaining_s(), 0.0))
            if not attached:
                # It closed its output, or ended: the exit code comes a moment after the stream.
                if not running():
                    return None
                time.sleep(min(pause_s, max(0.001, (time.monotonic() - heard) / 4)))
                continue
            readable, writable, _ = select.select(
                [self._connection], [self._connection] if sender.pending else [], [], pause_s
            )
            if writable:
                sender.send()
            if readable:
                heard = time.monotonic()
                attached = self._receive(output)
            elif time.monotonic() - heard > _IDLE_S:
                heard = time.monotonic()
                attached = running()

    def relay(
        self,
        channel: socket.socket,
        output: Demultiplexer,
        bounds: Bounds,
        running: Callable[[], bool],
    ) -> Stop | None:
        """As `pump`, with standard input from `channel` and standard output to it."""
        output.feed(self._received)
        self._connection.setblocking(False)
        flow = _Flow(self._connection, channel, output)
        heard = time.monotonic()
        while True:
            stop = why_stop(output, bounds)
            if stop is not None:
                return stop
            pause_s = min(_TICK_S, max(bounds.remaining_s(), 0.0))
            if flow.step(pause_s):
                heard = time.monotonic()
            elif not flow.attached or time.monotonic() - heard > _IDLE_S:
                heard = time.monotonic()
                if not running() and not flow.step(0) and not flow.pending:
                    return None
                if not flow.attached:
                    time.sleep(min(pause_s, 0.01))

    def _receive(self, output: Demultiplexer) -> bool:
        """Take what has come; whether the stream goes on."""
        try:
            data = self._connection.recv(_BLOCK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        output.feed(data)
        return bool(data)


def why_stop(output: Demultiplexer, bounds: Bounds) -> Stop | None:
    """Why a command has to be ended from outside."""
    if output.overflowed:
        return ExecEnd.OUTPUT_LIMIT, f"more than {bounds.max_output_bytes} bytes of output"
    if bounds.cancelled.is_set():
        return ExecEnd.TIMEOUT, "cancelled"
    if bounds.remaining_s() <= 0:
        return ExecEnd.TIMEOUT, "still running at its deadline"
    return bounds.watch()


class _Sender:
    """What is left of stdin; ends the stream after the last byte."""

    def __init__(self, connection: socket.socket, data: bytes) -> None:
        self._connection = connection
        self._left = memoryview(data)
        self.pending = True

    def send(self) -> None:
        try:
            if self._left:
                self._left = self._left[self._connection.send(self._left[:_BLOCK]) :]
        except BlockingIOError:
            return
        except OSError:
            # The command does not read its input, or is gone: no failure of its own.
            self.pending = False
            return
        if not self._left:
            self.pending = False
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)


class _Flow:
    """Bytes between a command's stream and the channel of whoever talks to it, a block of each."""

    def __init__(
        self, connection: socket.socket, channel: socket.socket, output: Demultiplexer
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._output = output
        self._input = b""
        self.pending = output.take()
        self._input_ended = False
        self.attached = True
        channel.setblocking(False)

    def step(self, pause_s: float) -> bool:
        """Wait for something to move and move it; whether anything did."""
        events = {self._connection: 0, self._channel: 0}
        if self.attached and len(self.pending) < _BLOCK:
            events[self._connection] |= select.POLLIN
        if self.attached and self._input:
            events[self._connection] |= select.POLLOUT
        if not self._input and not self._input_ended:
            events[self._channel] |= select.POLLIN
        if self.pending:
            events[self._channel] |= select.POLLOUT
        poller = select.poll()
        for side, mask in events.items():
            if mask:
                poller.register(side, mask)
        moved = False
        for fd, event in poller.poll(pause_s * 1000):
            side = self._connection if fd == self._connection.fileno() else self._channel
            if events[side] & select.POLLOUT and event & (select.POLLOUT | select.POLLERR):
                moved = self._send(side) or moved
            if events[side] & select.POLLIN and event & ~select.POLLOUT:
                moved = self._receive(side) or moved
        return moved

    def _send(self, side: socket.socket) -> bool:
        data = self._input if side is self._connection else self.pending
        try:
            sent = side.send(data[:_BLOCK])
        except BlockingIOError:
            return False
        except OSError:
            sent = len(data)  # nobody reads it any more
        if side is self._connection:
            self._input = data[sent:]
        else:
            self.pending = data[sent:]
        return True

    def _receive(self, side: socket.socket) -> bool:
        try:
            data = side.recv(_BLOCK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if side is self._channel:
            self._input, self._input_ended = data, not data
            if not data:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_WR)
        else:
            self.attached = bool(data)
            self._output.feed(data)
            self.pending += self._output.take()
        return True


def _connect(address: str, timeout_s: float) -> socket.socket:
    parts = urlsplit(address)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        try:
            connection.connect(parts.path)
        except BaseException:
            connection.close()
            raise
        return connection
    return socket.create_connection((parts.hostname or "localhost", parts.port or 2375), timeout_s)


def _read_response(connection: socket.socket) -> bytes:
    """Read the head of the response; what came behind it belongs to the stream."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = connection.recv(_BLOCK)
        if not block or len(data) > _RESPONSE_BYTES:
            raise SandboxUnavailableError("the Docker daemon closed the connection")
        data += block
    head, _, rest = data.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(status) < 2 or status[1] not in (b"101", b"200"):
        reason = (rest or head)[-500:].decode("utf-8", "backslashreplace").strip()
        raise SandboxUnavailableError(f"the Docker daemon refuses to run a command: {reason}")
    return rest
