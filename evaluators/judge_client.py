"""The harness's end of `judge_server.py`: orders go out, outcomes come back in any order."""

import asyncio
import json
from collections.abc import Sequence
from itertools import count

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import MIB, CommandStream, ExecEnd, ExecResult, Sandbox

LIFE_S = 7 * 24 * 3600.0
"""After that long a server ends and the next verdict starts another one."""
START_S = 30.0
"""How long a server may take for its imports, beyond a verdict's own time."""
MAX_HEAD_BYTES = 4096
MAX_PRINTED_BYTES = 11 * MIB


class JudgeServerError(Exception):
    """The server ended or did not answer: nothing is known of the verdict."""


class _Head(BaseModel):
    """The line before each outcome."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: int
    end: str = Field(pattern="^(exited|timeout|output_limit)$")
    code: int
    stdout: int = Field(ge=0, le=MAX_PRINTED_BYTES)
    stderr: int = Field(ge=0, le=MAX_PRINTED_BYTES)


class JudgeServer:
    """One server in a judge's sandbox, started by construction. Calls may be made side by side."""

    def __init__(self, sandbox: Sandbox, argv: Sequence[str]) -> None:
        self._sandbox = sandbox
        self._argv = argv
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[tuple[_Head, bytes]]] = {}
        self._stream: asyncio.Future[CommandStream] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def score(self, outputs: str, seed: int, timeout_s: float) -> ExecResult:
        """What a fork of the judge answered; `outputs` as the sandbox sees the folder.

        Raises:
            JudgeServerError: No outcome came.
        """
        loop = asyncio.get_running_loop()
        number, began = next(self._numbers), loop.time()
        self._waiting[number] = answer = loop.create_future()
        order = {"id": number, "outputs": outputs, "seed": seed, "timeout_s": timeout_s}
        try:
            # Others' verdicts may be ahead of this one, each for as long.
            async with asyncio.timeout((1 + len(self._waiting)) * timeout_s + START_S):
                stream = await asyncio.shield(self._stream)
                await stream.write(json.dumps(order).encode() + b"\n")
                head, data = await answer
        except (TimeoutError, ConnectionError, SandboxUnavailableError) as error:
            raise JudgeServerError(str(error)) from error
        finally:
            self._waiting.pop(number, None)
        end = ExecEnd(head.end)
        evidence = "" if end is ExecEnd.EXITED else f"limit {timeout_s:g} s"
        if end is ExecEnd.OUTPUT_LIMIT:
            evidence = "more output than the limit"
        stdout, stderr = data[: head.stdout], data[head.stdout :]
        return ExecResult(end, head.code, stdout, stderr, loop.time() - began, evidence)

    async def close(self) -> None:
        """End it and what it runs."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        problem = SandboxUnavailableError("the judge's server ended")
        try:
            async with self._sandbox.stream(self._argv, timeout_s=LIFE_S) as stream:
                self._stream.set_result(stream)
                await self._read(stream)
        except (SandboxUnavailableError, ConnectionError, ValidationError, ValueError) as error:
            problem = SandboxUnavailableError(f"the judge's server: {error}")
        finally:
            if not self._stream.done():
                self._stream.set_exception(problem)
                self._stream.exception()  # whether or not anybody waits for it
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(problem)

    async def _read(self, stream: CommandStream) -> None:
        data = bytearray()
        while piece := await stream.read():
            data += piece
            while (end := data.find(b"\n")) >= 0:
                head = _Head.model_validate_json(bytes(data[:end]))
                size = end + 1 + head.stdout + head.stderr
                if len(data) < size:
                    break
                answer = self._waiting.get(head.id)
                if answer is not None and not answer.done():
                    answer.set_result((head, bytes(data[end + 1 : size])))
                del data[:size]
            else:
                if len(data) > MAX_HEAD_BYTES:
                    raise ValueError("it wrote no outcome")
