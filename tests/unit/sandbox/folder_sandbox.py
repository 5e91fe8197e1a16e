"""A sandbox without isolation, for tests of what is done in sandboxes, and files to begin with."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from harness.sandbox.base import MIB, CommandStream, ExecEnd, ExecResult
from harness.sandbox.scan import SubmissionRules
from harness.sandbox.tree import TreeFile

RULES = SubmissionRules()


class FolderSandbox:
    """The least that a sandbox is: commands run in a folder of this machine, without isolation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_frozen = False
        self.on_exec: Callable[[], object] = lambda: None

    @property
    def workdir(self) -> str:
        return str(self.folder)

    def path(self, target: str) -> str:
        raise KeyError(target)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        max_output_bytes: int = 10 * MIB,
    ) -> ExecResult:
        assert not self.is_frozen
        self.on_exec()
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self.folder / (cwd or "."),
            env={"PATH": os.environ["PATH"], **(env or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin), timeout_s)
        over = len(out) + len(err) > max_output_bytes
        assert process.returncode is not None
        return ExecResult(
            end=ExecEnd.OUTPUT_LIMIT if over else ExecEnd.EXITED,
            exit_code=process.returncode,
            stdout=out[:max_output_bytes],
            stderr=err,
            duration_s=time.monotonic() - started,
        )

    def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> AbstractAsyncContextManager[CommandStream]:
        raise AssertionError("transports go through `exec` alone")

    async def read_file(self, path: str, *, max_bytes: int = 100 * MIB) -> bytes:
        raise AssertionError("transports go through `exec` alone")

    async def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        raise AssertionError("transports go through `exec` alone")

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[None]:
        assert not self.is_frozen
        self.is_frozen = True
        try:
            yield
        finally:
            self.is_frozen = False

    async def close(self) -> None:
        pass


SEED = {
    "solve.py": TreeFile(b"x = 1\n"),
    "run.sh": TreeFile(b"#!/bin/sh\n", executable=True),
    "data/deep/ü -x.bin": TreeFile(bytes(range(256)) * 3),
    "data/empty": TreeFile(b""),
    "n" * 120 + "/" + "m" * 200: TreeFile(b"long"),
}
