"""The harness's end of the relay: starts the CLI and joins its connections to our services."""

import asyncio
import contextlib
import shlex
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from harness.agents.command.inside.mux import BLOCK, Channel, Mux, ProtocolError, splice
from harness.errors import SandboxUnavailableError
from harness.sandbox.base import CommandStream, ExecEnd, ExecResult, Sandbox

PYTHON = "python3"
_HELLO_TIMEOUT_S = 60.0
_HEAD_BYTES, _TAIL_BYTES = 16_384, 131_072
_BOOT = """
import sys, types
for name, source in zip(("harness.agents.command.inside.mux", "__main__"), sys.argv[1:]):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of the sandbox once the relay runs in it."""

    url: str
    """Of the harness's HTTP service, without a path."""
    mcp_port: int
    folder: str
    """Where the order's files are put: `bin` is on the command's PATH."""
    python: str
    home: str
    """What HOME is for the CLI: a folder of its own that outlives it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to start."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """Text and mode by path below the folder."""
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the CLI ended."""

    code: int | None
    """Its exit code; None when it was ended from outside or the sandbox ended it."""
    reason: str
    """In words; empty when it ended by itself."""
    output: str


class Output:
    """Head and tail of what a command prints."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, data: bytes) -> None:
        room = _HEAD_BYTES - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room < len(data) else b""
        if len(self._tail) > 2 * _TAIL_BYTES:
            self._left_out += len(self._tail) - _TAIL_BYTES
            del self._tail[:-_TAIL_BYTES]

    def text(self) -> str:
        gap = f"\n[… {self._left_out} bytes left out …]\n".encode() if self._left_out else b""
        return bytes(self._head + gap + self._tail).decode("utf-8", "replace")


class Running:
    """A CLI that runs in the sandbox."""

    def __init__(self, stream: CommandStream, sockets: Mapping[str, Path]) -> None:
        self._stream = stream
        self._sockets = sockets
        self._hello: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._exit: int | None = None
        self._output = Output()
        self._why = ""
        self._joined: set[asyncio.Task[None]] = set()
        self._mux = Mux(stream.read, stream.write, self._heard, self._accept)
        self._moving = asyncio.create_task(self._mux.run())

    def _heard(self, message: dict[str, Any]) -> None:
        """What the program in the sandbox says; hostile code may say it as well."""
        try:
            if "hello" in message and not self._hello.done():
                hello = message["hello"]
                ports = hello["ports"]
                self._hello.set_result(
                    Place(
                        url=f"http://127.0.0.1:{int(ports['http'])}",
                        mcp_port=int(ports["mcp"]),
                        folder=str(hello["folder"]),
                        python=str(hello["python"]),
                        home=f"{hello['scratch']}/agent-home",
                    )
                )
            elif "exit" in message and self._exit is None:
                self._exit = int(message["exit"])
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"not a message of the relay: {error!r}") from error

    def _accept(self, service: str, channel: Channel) -> None:
        task = asyncio.create_task(self._join(service, channel))
        self._joined.add(task)
        task.add_done_callback(self._joined.discard)

    async def _join(self, service: str, channel: Channel) -> None:
        if service == "output":
            with contextlib.suppress(ConnectionError):
                while data := await channel.read():
                    self._output.add(data)
            channel.end()
            return
        path = self._sockets.get(service)
        if path is None:
            channel.close()
            return
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=2 * BLOCK)
        except OSError:
            channel.close()
            return
        await splice(channel, reader, writer)

    async def place(self) -> Place:
        """Where things are in the sandbox, once the relay runs in it.

        Raises:
            SandboxUnavailableError: It does not start.
        """
        await asyncio.wait(
            (self._hello, self._moving),
            timeout=_HELLO_TIMEOUT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._hello.done():
            return self._hello.result()
        if self._moving.done():
            said = (await self._stream.result()).text().strip()[-500:]
            raise SandboxUnavailableError(
                f"the relay does not start in the sandbox; it needs {PYTHON} there: {said}"
            )
        raise SandboxUnavailableError("the relay did not start in the sandbox in time")

    def start(self, order: Order) -> None:
        """Have the CLI started."""
        self._mux.say(
            {
                "start": {
                    "argv": list(order.argv),
                    "env": dict(order.env),
                    "files": {name: list(file) for name, file in order.files.items()},
                    "stdin": order.stdin,
                }
            }
        )

    def stop(self, why: str) -> None:
        """Ask the CLI to end; it is ended by force a moment later."""
        if not self._why:
            self._why = why
            self._mux.say({"stop": True})

    async def ending(self) -> Ending:
        """How the CLI ended, when it has.

        Raises:
            SandboxUnavailableError: When the sandbox failed.
        """
        await asyncio.wait((self._moving,))
        result = await self._stream.result()
        for task in list(self._joined):
            task.cancel()
        if self._joined:
            await asyncio.wait(self._joined)
        text = self._output.text()
        if self._why:
            return Ending(None, self._why, text)
        if self._exit is None:
            return Ending(None, self._without_exit(result), text)
        return Ending(self._exit, "", text)

    def _without_exit(self, result: ExecResult) -> str:
        if result.end is not ExecEnd.EXITED:
            return f"{result.end.value}: {result.evidence}"
        said = result.text().strip()[-500:]
        broken = self._moving.exception() if not self._moving.cancelled() else None
        return f"the relay in the sandbox ended: {broken or said or 'it was killed'}"

    async def close(self) -> None:
        self._moving.cancel()
        for task in list(self._joined):
            task.cancel()
        await asyncio.wait((self._moving, *self._joined))


@contextlib.asynccontextmanager
async def running(
    sandbox: Sandbox, sockets: Mapping[str, Path], *, timeout_s: float
) -> AsyncGenerator[Running]:
    """A relay in the sandbox that is ready to start a CLI; leaving the block ends all of it.

    `sockets` are the Unix sockets of this machine that its services stand for.

    Raises:
        SandboxUnavailableError: When the sandbox failed.
    """
    argv = [PYTHON, "-I", "-c", _BOOT, *map(program, ("mux", "relay"))]
    async with sandbox.stream(argv, timeout_s=timeout_s) as stream:
        process = Running(stream, sockets)
        try:
            yield process
        finally:
            await process.close()


def program(name: str) -> str:
    """Source of a program that is placed into the sandbox."""
    file = resources.files("harness.agents.command.inside").joinpath(f"{name}.py")
    return file.read_text(encoding="utf-8")


def wrapper(place: Place, name: str) -> str:
    """A shell script that runs one of those programs, whatever PYTHONPATH says."""
    words = [place.python, "-I", f"{place.folder}/lib/{name}.py", f"{place.folder}/settings.json"]
    return f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'
