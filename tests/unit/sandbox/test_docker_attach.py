"""The stream of a command in a container, without a daemon."""

import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import ExecEnd
from harness.sandbox.docker_attach import Bounds, Demultiplexer, ExecStream


def frame(stream: int, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


@given(
    frames=st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=12),
    cuts=st.lists(st.integers(1, 20), min_size=1, max_size=30),
    limit=st.integers(0, 200),
)
def test_frames_are_split_by_stream_wherever_they_are_cut(
    frames: list[tuple[int, bytes]], cuts: list[int], limit: int
) -> None:
    data = b"".join(frame(stream, payload) for stream, payload in frames)
    output = Demultiplexer(limit)
    at = 0
    while at < len(data):
        for cut in cuts:
            output.feed(data[at : at + cut])
            at += cut
    whole = {
        number: b"".join(payload for stream, payload in frames if stream == number)
        for number in (1, 2)
    }
    total = len(whole[1]) + len(whole[2])
    assert whole[1].startswith(output.stdout)
    assert whole[2].startswith(output.stderr)
    assert len(output.stdout) + len(output.stderr) == min(total, limit)
    assert output.overflowed == (total > limit)


class Peer:
    """Answers one connection on a socket with the given bytes, then closes or stays."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._answer = answer
        self.address = f"unix://{path}"
        self.released = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(self._answer)
            self.released.wait(30)

    def close(self) -> None:
        self.released.set()
        self._thread.join()
        self._server.close()


SWITCHED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


def pump(stream: ExecStream, remaining_s: float = 20.0) -> tuple[Demultiplexer, ExecEnd | None]:
    output = Demultiplexer(1000)
    bounds = Bounds.until(lambda: remaining_s, 1000)
    stop = stream.pump(b"", output, bounds, lambda: False)
    return output, stop[0] if stop is not None else None


def test_output_that_comes_together_with_the_response_is_kept(tmp_path: Path) -> None:
    peer = Peer(tmp_path / "s", SWITCHED + frame(1, b"early") + frame(2, b"error"))
    try:
        stream = ExecStream.start(peer.address, "1.41", "e1", 20)
        peer.released.set()
        output, stop = pump(stream)
        stream.close()
    finally:
        peer.close()
    assert (bytes(output.stdout), bytes(output.stderr), stop) == (b"early", b"error", None)


def test_a_daemon_that_refuses_is_not_a_failed_command(tmp_path: Path) -> None:
    body = b'{"message":"Container x is not running"}'
    peer = Peer(tmp_path / "s", b"HTTP/1.1 409 Conflict\r\n\r\n" + body)
    try:
        with pytest.raises(SandboxUnavailableError, match="is not running"):
            ExecStream.start(peer.address, "1.41", "e1", 20)
    finally:
        peer.close()


def test_a_daemon_that_says_nothing_does_not_block_for_ever(tmp_path: Path) -> None:
    peer = Peer(tmp_path / "s", b"")
    try:
        with pytest.raises(SandboxUnavailableError):
            ExecStream.start(peer.address, "1.41", "e1", 0.2)
    finally:
        peer.close()


def test_no_daemon_is_told(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailableError, match="No such file"):
        ExecStream.start(f"unix://{tmp_path}/none", "1.41", "e1", 1)


def test_the_deadline_ends_a_silent_command(tmp_path: Path) -> None:
    peer = Peer(tmp_path / "s", SWITCHED)
    try:
        stream = ExecStream.start(peer.address, "1.41", "e1", 20)
        _, stop = pump(stream, remaining_s=0.0)
        stream.close()
    finally:
        peer.close()
    assert stop is ExecEnd.TIMEOUT


def test_an_ended_command_whose_child_holds_the_stream_is_seen(tmp_path: Path) -> None:
    # The peer keeps the connection open; the daemon says that the command has ended.
    peer = Peer(tmp_path / "s", SWITCHED + frame(1, b"done"))
    try:
        stream = ExecStream.start(peer.address, "1.41", "e1", 20)
        output, stop = pump(stream)
        stream.close()
    finally:
        peer.close()
    assert (bytes(output.stdout), stop) == (b"done", None)


def test_a_stream_relays_until_the_command_has_ended(tmp_path: Path) -> None:
    text = bytes(range(256)) * 2000
    frames = b"".join(frame(1, text[at : at + 4096]) for at in range(0, len(text), 4096))
    peer = Peer(tmp_path / "s", SWITCHED + frames + frame(2, b"error"))
    near, far = socket.socketpair()
    received: list[bytes] = []

    def read() -> None:
        while data := near.recv(1000):
            received.append(data)

    reader = threading.Thread(target=read)
    try:
        stream = ExecStream.start(peer.address, "1.41", "e1", 20)
        peer.released.set()
        reader.start()
        output = Demultiplexer(100_000)
        stop = stream.relay(far, output, Bounds.until(lambda: 20.0, 100_000), lambda: False)
        stream.close()
    finally:
        peer.close()
        far.close()
        reader.join()
        near.close()
    assert (stop, bytes(output.stderr)) == (None, b"error")
    assert b"".join(received) == text
