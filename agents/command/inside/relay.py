"""The program in the sandbox that carries connections from its loopback to the harness.

It listens, says on which ports, is told what to start, and opens a channel for each connection and
for the command's output. It ends with the command, or with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from harness.agents.command.inside.mux import (
    BLOCK,
    MAX_CHANNELS,
    MAX_FRAME,
    MAX_START,
    Channel,
    Mux,
    splice,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STOP_GRACE_S = 5.0
OUTPUT_GRACE_S = 2.0


def write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


class Inside:
    """The program: listeners, the command, its end."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(8))
        self.order: asyncio.Future[dict[str, Any]] = self.loop.create_future()
        self.process: subprocess.Popen[bytes] | None = None
        self.mux = Mux(self.read, self.write, self.heard, None, MAX_START)
        self.tasks: set[asyncio.Future[None]] = set()
        self.folder = tempfile.mkdtemp(prefix="harness-")

    async def read(self) -> bytes:
        # In threads: whatever kind of file these two are, that works.
        return await self.loop.run_in_executor(None, os.read, 0, MAX_FRAME)

    async def write(self, data: bytes) -> None:
        await self.loop.run_in_executor(None, write_all, data)

    def heard(self, message: dict[str, Any]) -> None:
        if "start" in message and not self.order.done():
            self.order.set_result(message["start"])
        if "stop" in message:
            self.keep(self.stop())

    def keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self) -> None:
        running = asyncio.ensure_future(self.mux.run())
        ports = {service: await self.listen(service) for service in ("http", "mcp")}
        hello = {"ports": ports, "folder": self.folder, "python": sys.executable}
        self.mux.say({"hello": {**hello, "scratch": tempfile.gettempdir()}})
        command = asyncio.ensure_future(self.command())
        await asyncio.wait([running, command], return_when=asyncio.FIRST_COMPLETED)
        if command.done():
            code = command.result()
            self.mux.say({"exit": code})
            await self.mux.flushed()
        self.kill(signal.SIGKILL)

    async def listen(self, service: str) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self.mux.channels) >= MAX_CHANNELS:
                writer.close()
                return
            await splice(self.mux.open(service), reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.keep(server.serve_forever())
        return int(server.sockets[0].getsockname()[1])

    async def command(self) -> int:
        order = await self.order
        for name, (text, mode) in order["files"].items():
            path = os.path.join(self.folder, name)  # noqa: PTH118
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
            with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123, ASYNC230
                file.write(text)
            os.chmod(path, mode)  # noqa: PTH101
        programs = os.path.join(self.folder, "bin")  # noqa: PTH118
        path = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environment = {**os.environ, **order["env"], "PATH": path}
        output = self.mux.open("output")
        given = os.path.join(self.folder, "stdin")  # noqa: PTH118
        with open(given, "w", encoding="utf-8") as file:  # noqa: PTH123, ASYNC230
            file.write(order["stdin"])
        source, sink = os.pipe()
        try:
            with open(given, "rb") as stdin:  # noqa: PTH123, ASYNC230
                self.process = subprocess.Popen(  # noqa: ASYNC220
                    order["argv"],
                    stdin=stdin,
                    stdout=sink,
                    stderr=sink,
                    env=environment,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            await output.write(f"{order['argv'][0]}: {error}\n".encode())
            output.end()
            return 127 if isinstance(error, FileNotFoundError) else 126
        finally:
            os.close(sink)
        copying = asyncio.ensure_future(self.copy(source, output))
        code = await self.loop.run_in_executor(None, self.process.wait)
        # What it left running may hold its output open.
        await asyncio.wait([copying], timeout=OUTPUT_GRACE_S)
        return code

    async def copy(self, source: int, output: Channel) -> None:
        try:
            while True:
                data = await self.loop.run_in_executor(None, os.read, source, BLOCK)
                if not data:
                    break
                await output.write(data)
        except ConnectionError:
            return
        output.end()

    async def stop(self) -> None:
        self.kill(signal.SIGTERM)
        await asyncio.sleep(STOP_GRACE_S)
        self.kill(signal.SIGKILL)

    def kill(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, number)


async def main() -> None:
    try:
        inside = Inside()
        try:
            await inside.run()
        finally:
            inside.kill(signal.SIGKILL)
    except BaseException as error:  # told to the harness, whatever it is
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(0)  # a thread waits for more input, and the event loop would wait for it


if __name__ == "__main__":
    asyncio.run(main())
