"""The harness's end of a served program: each request answered once, in time, or never again."""

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from harness.attempt import Status
from harness.evaluators.frames import Frame, FrameError, FrameReader, sizes
from harness.evaluators.inside.harness_serve import commitment
from harness.evaluators.produce import how_it_ended, printed
from harness.evaluators.strict_json import Json
from harness.evaluators.text import clean
from harness.sandbox.base import CommandStream, Sandbox
from harness.tasks.evaluation import ServeSpec

OUTLIVES_S = 2.0
"""How long a program may live on after it closed its output, or was told to end."""
MAX_ERROR_BYTES = 4096
ANSWERS = ("value", "error")
UNASKED = "it wrote what is no answer to what was asked"


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a program answers no more; `printed` is the end of its standard error, if known."""

    status: Status
    evidence: str
    printed: str = ""


class Peer:
    """One program that was started to be called. For one caller at a time.

    **Trust**: the program may write whatever it likes at any time. An answer counts only if it
    bears the token of the one request that is open, which the program cannot know before; the
    first thing that is no such answer ends the peer for good.
    """

    def __init__(self, sandbox: Sandbox, stream: CommandStream, spec: ServeSpec) -> None:
        self._sandbox = sandbox
        self._stream = stream
        self._reader = FrameReader(stream, spec.max_output_bytes)
        self._spec = spec
        self._promised: dict[str, str] = {}
        self._still = AsyncExitStack()
        self._stands_still = False
        self.used_s = 0.0
        """Seconds it has been given: starting and answering."""
        self.ended: Ended | None = None

    async def request(self, op: str, name: str, args: Json = None, data: bytes = b"") -> Frame:
        """The answer's frame: `{"value"}`, `{"error"}` or, now and from now on, `{"ended"}`.

        Raises:
            SandboxUnavailableError: The sandbox, not the program, failed.
        """
        if self.ended is None:
            await self.wake()
            token = secrets.token_hex(16)
            request = Frame({"id": token, "op": op, "name": name, "args": args or []}, data)
            began = time.perf_counter()
            answer = await self._exchange(request, name)
            self.used_s += time.perf_counter() - began
            if isinstance(answer, Frame):
                answer = self._checked(answer, token, op, name)
            if isinstance(answer, Frame):
                return answer
            self.ended = answer
        told = {"status": str(self.ended.status), "evidence": self.ended.evidence}
        return Frame({"ended": dict[str, Json](told)})

    async def rest(self) -> None:
        """Have it stand still until it is asked for something."""
        if not self._stands_still and self.ended is None:
            await self._still.enter_async_context(self._sandbox.frozen())
            self._stands_still = True

    async def wake(self) -> None:
        """Have it run."""
        if self._stands_still:
            self._stands_still = False
            await self._still.aclose()

    async def close(self) -> str:
        """Have it end; the end of what it printed, if it is quick about it."""
        await self.wake()
        if self.ended is not None:
            return self.ended.printed
        try:
            async with asyncio.timeout(OUTLIVES_S):
                goodbye = Frame({"id": "", "op": "close", "name": "", "args": []})
                await self._stream.write(goodbye.encoded())
                return printed(await self._stream.result())
        except (TimeoutError, ConnectionError):
            return ""

    async def _exchange(self, request: Frame, name: str) -> Frame | Ended:
        left_s = self._spec.timeout_s - self.used_s
        limit_s = min(left_s, self._spec.call_timeout_s or left_s)
        try:
            async with asyncio.timeout(limit_s):
                try:
                    await self._stream.write(request.encoded())
                except ConnectionError:
                    return await self._gone()
                answer = await self._reader.read()
        except TimeoutError:
            what = f"no answer to {name} within {limit_s:.3g} s" if name else "it did not start"
            if limit_s == left_s:
                what += f", {self._spec.timeout_s:g} s in all"
            return Ended(Status.TIMEOUT, f"timeout: {what}")
        except FrameError as error:
            return _broke(str(error))
        if answer is None:
            return await self._gone()
        if self._reader.early:
            return _broke(UNASKED)
        return answer

    async def _gone(self) -> Ended:
        """It reads or writes no more: how it ended, if it did."""
        try:
            async with asyncio.timeout(OUTLIVES_S):
                result = await self._stream.result()
        except TimeoutError:
            return _broke("it closed its output and ran on")
        status, evidence = how_it_ended(result, "the program")
        return Ended(status, evidence, printed(result))

    def _checked(self, answer: Frame, token: str, op: str, name: str) -> Frame | Ended:
        """The answer without its token, if it is one to this request."""
        document = answer.document
        kinds = [kind for kind in ANSWERS if kind in document]
        if document.get("id") != token or len(document) != 2 or len(kinds) != 1:
            return _broke(UNASKED)
        if "error" in document:
            return _error(document["error"])
        value = document["value"]
        if op == "hold":
            if not isinstance(value, str):
                return _broke("no commitment")
            self._promised[token] = value
            return Frame({"value": token})
        if op == "fetch" and not _keeps(self._promised.pop(name, ""), value, answer.data):
            return _broke("the value that was fetched is not the one promised")
        return Frame({"value": value}, answer.data)


def _broke(what: str) -> Ended:
    return Ended(Status.INVALID, f"protocol: {what}")


def _error(told: Json) -> Frame | Ended:
    """What a function raised, in the program's own words, made safe to show."""
    if isinstance(told, dict) and set(told) == {"type", "message"}:
        kind, message = told["type"], told["message"]
        if isinstance(kind, str) and isinstance(message, str):
            words: Mapping[str, Json] = {
                "type": clean(kind, 200),
                "message": clean(message, MAX_ERROR_BYTES),
            }
            return Frame({"error": dict(words)})
    return _broke("a malformed error")


def _keeps(promise: str, value: Json, data: bytes) -> bool:
    try:
        return secrets.compare_digest(commitment(value, _parts(value, data)), promise)
    except TypeError:
        return False


def _parts(value: Json, data: bytes) -> Iterator[memoryview]:
    at, view = 0, memoryview(data)
    for size in sizes(value):
        yield view[at : at + size]
        at += size
