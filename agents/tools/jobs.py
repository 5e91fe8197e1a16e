"""Background jobs: commands that run while the agent goes on, each with its output in a file."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from harness.agents.text import clean
from harness.agents.tools.shell import BASH, Shell
from harness.errors import SandboxUnavailableError
from harness.sandbox.base import ExecEnd, ExecResult, Sandbox

FOLDER = ".harness/jobs"
MAX_JOBS = 4
"""Running at once."""
MAX_KEPT = 16
"""Ended ones that are still listed."""
TIMEOUT_S = 6 * 3600.0

_RUN = r"""
mkdir -p -- "${2%/*}" && exec >"$2" 2>&1 </dev/null
[ -z "$3" ] || cd -- "$3" || exit 1
eval "$1"
"""
_TAIL = 'wc -c <"$1" && tail -c "$2" -- "$1"'


@dataclass(slots=True)
class Job:
    """One job; `task` is done when it has ended."""

    name: str
    command: str
    began: float
    task: "asyncio.Task[ExecResult]"
    told: bool = False

    @property
    def log(self) -> str:
        """Its output, relative to the workspace."""
        return f"{FOLDER}/{self.name}.log"

    def state(self) -> str:
        """How it is, in a few words."""
        if not self.task.done():
            return f"running for {time.monotonic() - self.began:.0f} s"
        if self.task.cancelled():
            return "stopped"
        error = self.task.exception()
        if error is not None:
            return f"lost: {error}"
        result = self.task.result()
        if result.end is ExecEnd.EXITED:
            return f"ended with exit code {result.exit_code} after {result.duration_s:.0f} s"
        why = f": {result.evidence}" if result.evidence else ""
        return f"killed ({result.end.value}{why}) after {result.duration_s:.0f} s"

    async def ended(self, timeout_s: float) -> None:
        """Returns when the job has ended, or after `timeout_s`; the job goes on."""
        await asyncio.wait((self.task,), timeout=timeout_s)


class Jobs:
    """The jobs of one agent, in its sandbox. Belongs to the event loop."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    @property
    def running(self) -> list[str]:
        """Names of those that have not ended."""
        return [job.name for job in self._jobs.values() if not job.task.done()]

    @property
    def all(self) -> list[Job]:
        """All that are remembered, in order of their start."""
        return list(self._jobs.values())

    def get(self, name: str) -> Job | None:
        """The job of that name."""
        return self._jobs.get(name)

    def start(self, sandbox: Sandbox, shell: Shell, name: str, command: str, limit: float) -> Job:
        """Start a job where the shell is now; an ended one of the same name is forgotten."""
        log = f"{FOLDER}/{name}.log"
        work: Coroutine[Any, Any, ExecResult] = sandbox.exec(
            ["sh", "-c", BASH, _RUN, "bash", command, f"{sandbox.workdir}/{log}", shell.cwd],
            timeout_s=limit,
            env=dict(shell.variables),
        )
        self._jobs.pop(name, None)
        task = asyncio.get_running_loop().create_task(work, name=f"job {name}")
        job = Job(name, command, time.monotonic(), task)
        self._jobs[name] = job
        for ended in [each for each in self._jobs.values() if each.task.done()][:-MAX_KEPT]:
            del self._jobs[ended.name]
        return job

    async def output(self, sandbox: Sandbox, job: Job, characters: int) -> str:
        """The last part of what the job has written so far."""
        result = await sandbox.exec(
            ["sh", "-c", _TAIL, "sh", job.log, str(characters)], timeout_s=30.0
        )
        size, _, tail = result.stdout.partition(b"\n")
        if not result.ok or not size.strip().isdigit():
            return ""
        text = clean(tail.decode("utf-8", "backslashreplace"))
        return f"[… the last part of {int(size)} bytes]\n{text}" if int(size) > characters else text

    async def stop(self, *names: str) -> list[str]:
        """End these jobs, all without names; those that were still running."""
        wanted = [job for job in self._jobs.values() if not names or job.name in names]
        running = [job for job in wanted if not job.task.done()]
        for job in running:
            job.task.cancel()
            job.told = True
        for job in running:
            with contextlib.suppress(asyncio.CancelledError, SandboxUnavailableError):
                await job.task
        return [job.name for job in running]

    def news(self) -> list[Job]:
        """Jobs that have ended since this was last asked."""
        ended = [job for job in self._jobs.values() if job.task.done() and not job.told]
        for job in ended:
            job.told = True
        return ended
