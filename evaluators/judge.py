"""The second phase: the task's judge, with the private data and the outputs, without the candidate.

One sandbox is kept for all verdicts of a run. It never runs candidate code, and each verdict is a
process of its own in it: a fork of one that has the judge imported.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from harness.errors import SandboxUnavailableError
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.judge_answer import Judged, judged
from harness.evaluators.judge_client import JudgeServer, JudgeServerError
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

RUNNER = Path(__file__).resolve().with_name("judge_runner.py")
SERVER = RUNNER.with_name("judge_server.py")
INSIDE = RUNNER.with_name("inside")
TALKER = INSIDE / "serve_judge.py"
PROGRAMS = (RUNNER, SERVER, TALKER, INSIDE / "harness_serve.py", INSIDE / "harness_timing.py")
"""What is in reach of a judge beside its own files."""
MAX_PRINTED_BYTES = 10 * MIB
COPIED_BYTES = 256 * MIB
"""Private data up to this size are copied, so that a run judges by what it started with."""


class Judge:
    """Scores outputs. Calls may be made side by side; a lost sandbox is made anew at the next."""

    def __init__(self, context: EvaluatorContext, spec: EvaluatorBase) -> None:
        self._task = context.task
        self._judge = spec
        self._provider = context.provider
        self._executor = context.executor
        self._folder = context.scratch / f"judge-{uuid4().hex}"
        self._outputs = self._folder / "outputs"
        self._spec = SandboxSpec(
            purpose="judge",
            mounts=(),
            workdir="/outputs",
            limits=_side_by_side(context.limits),
            labels=context.labels,
            image=context.task.file.environment.image,
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
        self, seed: int, *, baseline: bool, timeout_s: float
    ) -> AsyncGenerator[CommandStream]:
        """Let the judge of a served candidate judge; messages as of `inside/serve_judge.py`.

        Raises:
            SandboxUnavailableError: The sandbox failed; the next call gets a new one.
        """
        await self._ready()
        sandbox = await self._open()
        words = [str(seed), "baseline" if baseline else "alone"]
        async with AsyncExitStack() as stack:
            argv = [*self._argv(sandbox, TALKER), *words]
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
            [*self._argv(sandbox, RUNNER), f"{sandbox.path('/outputs')}/{name}", str(seed)],
            timeout_s=self._judge.judge_timeout_s,
            max_output_bytes=MAX_PRINTED_BYTES,
        )

    def _argv(self, sandbox: Sandbox, program: Path) -> list[str]:
        return [
            "python", "-I", "-B",
            f"{sandbox.path('/runner')}/{program.name}",
            f"{sandbox.path('/evaluator')}/{self._judge.judge_file}",
            self._judge.judge_function,
            sandbox.path("/private"),
        ]  # fmt: skip

    async def _open(self) -> Sandbox:
        async with self._opening:
            if self._sandbox is None:
                self._sandbox = await self._provider.create(self._spec)
            return self._sandbox

    async def _serving(self, sandbox: Sandbox) -> JudgeServer:
        async with self._opening:
            if self._server is None or self._server.ended:
                self._server = JudgeServer(sandbox, self._argv(sandbox, SERVER))
            return self._server

    async def _ready(self) -> None:
        async with self._opening:
            if not self._spec.mounts:
                loop = asyncio.get_running_loop()
                mounts = await loop.run_in_executor(self._executor, self._prepare)
                self._spec = replace(self._spec, mounts=mounts)

    async def _drop(self, sandbox: Sandbox) -> None:
        if self._sandbox is sandbox:
            server, self._sandbox, self._server = self._server, None, None
            if server is not None:
                await server.close()
            await _close(sandbox)

    def _prepare(self) -> tuple[Mount, ...]:
        """Copies that any uid can read; where the user's own folders lie, a sandbox's may not."""
        try:
            for name in ("runner", "outputs", "private"):
                (self._folder / name).mkdir(parents=True)
            for program in PROGRAMS:
                shutil.copyfile(program, self._folder / "runner" / program.name)
            shutil.copytree(self._task.evaluator, self._folder / "evaluator")
            private = self._folder / "private"
            if self._task.private is not None:
                if _size(self._task.private) <= COPIED_BYTES:
                    shutil.copytree(self._task.private, private, dirs_exist_ok=True)
                else:
                    private = self._task.private
            _make_readable(self._folder)
        except OSError as error:
            raise SandboxUnavailableError(f"the judge's files cannot be copied: {error}") from error
        return (
            Mount(self._folder / "runner", "/runner"),
            Mount(self._folder / "evaluator", "/evaluator"),
            Mount(private, "/private"),
            Mount(self._outputs, "/outputs"),
        )


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


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _make_readable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


async def _close(sandbox: Sandbox) -> None:
    try:
        await sandbox.close()
    except SandboxUnavailableError:
        return  # it is gone already, which is all that was wanted
