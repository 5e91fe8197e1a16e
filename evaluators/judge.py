"""The second phase: the task's judge, with the private data and the outputs, without the candidate.

One sandbox is kept for all verdicts of a run. It never runs candidate code, and each verdict is a
process of its own in it: a fork of one that has the judge imported.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from harness.errors import SandboxUnavailableError
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.judge_answer import Judged, judged
from harness.evaluators.judge_client import JudgeServer, JudgeServerError
from harness.evaluators.judge_files import RUNNER, SERVER, JudgeFiles
from harness.evaluators.place import remove_folder
from harness.sandbox.base import (
    MIB,
    CommandStream,
    ExecResult,
    Limits,
    Mount,
    Sandbox,
    SandboxSpec,
)
from harness.sandbox.placing import place
from harness.sandbox.tree import TreeFile
from harness.tasks.evaluation import EvaluatorBase

MAX_PRINTED_BYTES = 10 * MIB


class Judge:
    """Scores outputs. Calls may be made side by side; a lost sandbox is made anew at the next."""

    def __init__(self, context: EvaluatorContext, spec: EvaluatorBase) -> None:
        self._judge = spec
        self._provider = context.provider
        self._executor = context.executor
        self._folder = context.scratch / f"judge-{uuid4().hex}"
        self._outputs = self._folder / "outputs"
        self._files = JudgeFiles(context, spec, self._folder / "files")
        self._spec = SandboxSpec(
            purpose="judge",
            mounts=(),
            workdir="/outputs",
            limits=_side_by_side(context.limits),
            labels=context.labels,
            image=context.image,
            python=context.python,
        )
        self._sandbox: Sandbox | None = None
        self._server: JudgeServer | None = None
        # Held while the sandbox is made, so that verdicts that arrive together share one.
        self._opening = asyncio.Lock()
        self._leaving: set[asyncio.Future[None]] = set()

    async def score(self, outputs: Mapping[str, bytes], seed: int) -> Judged:
        """Let the judge score `outputs` (contents by relative path).

        Raises:
            EvaluatorFailedError: The judge raised, ran into a limit or answered nonsense.
            SandboxUnavailableError: The sandbox failed; the next call gets a new one.
        """
        loop = asyncio.get_running_loop()
        name = uuid4().hex
        folder = self._outputs / name
        files = {path: TreeFile(data) for path, data in outputs.items()}
        try:
            await self._ready()
            await loop.run_in_executor(self._executor, place, folder, files)
            if self._provider.shares_files:
                return await self._score_warm(name, seed)
            return await self._score_fresh(name, seed)
        except OSError as error:
            raise SandboxUnavailableError(f"the outputs cannot be written: {error}") from error
        finally:
            leaving = loop.run_in_executor(self._executor, remove_folder, folder)
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    @asynccontextmanager
    async def talk(
        self, program: Path, words: Sequence[str], *, timeout_s: float
    ) -> AsyncGenerator[CommandStream]:
        """Have `program` run the judge; it asks for things by messages as of `harness_serve.py`.

        Raises:
            SandboxUnavailableError: The sandbox failed; the next call gets a new one.
        """
        await self._ready()
        sandbox = await self._open()
        async with AsyncExitStack() as stack:
            argv = [*self._files.argv(sandbox, program), *words]
            try:
                stream = await stack.enter_async_context(sandbox.stream(argv, timeout_s=timeout_s))
            except SandboxUnavailableError:
                await self._drop(sandbox)
                raise
            yield _Talk(stream, lambda: self._drop(sandbox))

    async def close(self) -> None:
        """End the sandbox and remove the copies. May be called twice."""
        async with self._opening:
            sandbox, self._sandbox = self._sandbox, None
            server, self._server = self._server, None
        if server is not None:
            await server.close()
        if sandbox is not None:
            await _close(sandbox)
        await asyncio.gather(*self._leaving)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, remove_folder, self._folder)

    async def _score_warm(self, name: str, seed: int) -> Judged:
        sandbox = await self._open()
        server = await self._serving(sandbox)
        timeout_s = self._judge.judge_timeout_s
        try:
            try:
                ended = await server.score(f"{sandbox.path('/outputs')}/{name}", seed, timeout_s)
            except JudgeServerError:
                # By itself, so that what happened can be told and who is to blame for it.
                ended = await self._call(sandbox, name, seed)
            return judged(ended)
        except SandboxUnavailableError:
            await self._drop(sandbox)
            raise

    async def _score_fresh(self, name: str, seed: int) -> Judged:
        """Where mounts are copied in at the start, a running sandbox never sees new outputs."""
        sandbox = await self._provider.create(self._spec)
        try:
            return judged(await self._call(sandbox, name, seed))
        finally:
            await _close(sandbox)

    async def _call(self, sandbox: Sandbox, name: str, seed: int) -> ExecResult:
        return await sandbox.exec(
            [*self._files.argv(sandbox, RUNNER), f"{sandbox.path('/outputs')}/{name}", str(seed)],
            timeout_s=self._judge.judge_timeout_s,
            max_output_bytes=MAX_PRINTED_BYTES,
        )

    async def _open(self) -> Sandbox:
        async with self._opening:
            if self._sandbox is None:
                self._sandbox = await self._provider.create(self._spec)
            return self._sandbox

    async def _serving(self, sandbox: Sandbox) -> JudgeServer:
        async with self._opening:
            if self._server is None or self._server.ended:
                self._server = JudgeServer(sandbox, self._files.argv(sandbox, SERVER))
            return self._server

    async def _ready(self) -> None:
        async with self._opening:
            if not self._spec.mounts:
                mounts = await self._files.mounts()
                try:
                    self._outputs.mkdir(parents=True)
                    for folder in (self._folder, self._outputs):
                        folder.chmod(0o755)
                except OSError as error:
                    raise SandboxUnavailableError(f"no folder for outputs: {error}") from error
                self._spec = replace(self._spec, mounts=(*mounts, Mount(self._outputs, "/outputs")))

    async def _drop(self, sandbox: Sandbox) -> None:
        if self._sandbox is sandbox:
            server, self._sandbox, self._server = self._server, None, None
            if server is not None:
                await server.close()
            await _close(sandbox)


class _Talk:
    """A judge's stream. When it turns out that the sandbox failed, the sandbox is given up."""

    def __init__(self, stream: CommandStream, drop: Callable[[], Awaitable[None]]) -> None:
        self.read = stream.read
        self.write = stream.write
        self._stream = stream
        self._drop = drop

    async def result(self) -> ExecResult:
        try:
            return await self._stream.result()
        except SandboxUnavailableError:
            await self._drop()
            raise


def _side_by_side(limits: Limits) -> Limits:
    """The bounds of a sandbox in which as many judges run at once as there are cores."""
    cores = os.cpu_count() or 1
    return limits.model_copy(
        update={
            "cpus": limits.cpus * cores,
            "memory_bytes": limits.memory_bytes * cores,
            "pids": limits.pids * cores,
        }
    )


async def _close(sandbox: Sandbox) -> None:
    try:
        await sandbox.close()
    except SandboxUnavailableError:
        return  # it is gone already, which is all that was wanted
