"""Checks of the way out by the proxy, for providers whose sandboxes see folders of this machine."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.sandbox.base import ExecEnd, Guarantee, Mount, SandboxProvider, SandboxSpec
from harness.sandbox.egress.proxy import EgressConfig
from harness.sandbox.egress.sandbox import EgressSandbox, open_egress
from harness.testing.sandbox.fixtures import PATIENCE_S, SandboxFixtures

FETCH = """
import os, socket, sys, urllib.request
for name in ("no_proxy", "NO_PROXY"):
    del os.environ[name]
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=20).read().decode())
    except OSError as error:
        print("refused", error)
try:
    socket.create_connection(("localhost", int(sys.argv[1].split(":")[2].strip("/"))), 2)
    print("reached it directly")
except OSError:
    print("no other way")
"""


Requires = Callable[[Guarantee], None]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from outside")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing."""


class EgressChecks(SandboxFixtures):
    # -- the way out --

    @pytest.fixture
    def outside(self) -> Iterator[int]:
        """The port of a web server on this machine."""
        with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()

    async def test_commands_reach_what_is_listed_and_nothing_else(
        self, provider: SandboxProvider, outside: int, requires: Requires
    ) -> None:
        requires(Guarantee.NETWORK)
        if not provider.shares_files:
            pytest.skip("its sandboxes see no folders of this machine")
        told: list[tuple[str, bool]] = []
        config = EgressConfig(hosts=["localhost"], ports=[outside], private=True)
        with TemporaryDirectory() as folder, TemporaryDirectory() as work:
            for each in (folder, work):
                Path(each).chmod(0o755)
            async with open_egress(
                Path(folder), config, lambda target, ok, why: told.append((target, ok))
            ) as mount:
                mounts = (Mount(Path(work), "/work", read_only=False), mount)
                inner = await provider.create(SandboxSpec("agent", mounts))
                sandbox = EgressSandbox(inner)
                try:
                    near = f"http://localhost:{outside}/"
                    result = await sandbox.exec(
                        ["python3", "-c", FETCH, near, "http://other.example/"],
                        timeout_s=PATIENCE_S,
                    )
                    lines = result.text().splitlines()
                    assert lines[0] == "from outside", lines
                    assert lines[1].startswith("refused HTTP Error 403"), lines
                    assert lines[2] == "no other way", lines
                    assert (f"localhost:{outside}", True) in told
                    assert ("other.example:80", False) in told
                    await self._check_commands(sandbox)
                finally:
                    await sandbox.close()

    async def _check_commands(self, sandbox: EgressSandbox) -> None:
        """Commands are what they were: input, output, ends."""
        echoed = await sandbox.exec(["cat"], timeout_s=PATIENCE_S, stdin=b"in and out")
        assert (echoed.stdout, echoed.exit_code) == (b"in and out", 0)
        failed = await sandbox.exec(["sh", "-c", "exit 7"], timeout_s=PATIENCE_S)
        assert failed.exit_code == 7
        unknown = await sandbox.exec(["no-such-program"], timeout_s=PATIENCE_S)
        assert unknown.exit_code == 127
        slow = await sandbox.exec(["sleep", "60"], timeout_s=1)
        assert slow.end is ExecEnd.TIMEOUT
        async with sandbox.stream(["cat"], timeout_s=PATIENCE_S) as stream:
            await stream.write(b"streamed")
            assert await stream.read() == b"streamed"
