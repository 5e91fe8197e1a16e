"""What a judge's sandbox is given: our programs, the task's evaluator and its private data."""

import asyncio
import shutil
from pathlib import Path

from harness.errors import SandboxUnavailableError
from harness.evaluators.context import EvaluatorContext
from harness.sandbox.base import MIB, Mount, Sandbox
from harness.tasks.base import Task
from harness.tasks.evaluation import EvaluatorBase

HERE = Path(__file__).resolve().parent
INSIDE = HERE / "inside"
RUNNER = HERE / "judge_runner.py"
SERVER = HERE / "judge_server.py"
TALKER = INSIDE / "serve_judge.py"
TESTER = INSIDE / "repository_judge.py"
ONE_PHASE = INSIDE / "one_phase.py"
COMMAND = INSIDE / "harness_command.py"
PROGRAMS = (
    RUNNER, SERVER, TALKER, TESTER, ONE_PHASE, COMMAND,
    INSIDE / "harness_serve.py", INSIDE / "harness_timing.py", INSIDE / "harness_repository.py",
)  # fmt: skip
"""What is in reach of a judge beside its own files."""
COPIED_BYTES = 256 * MIB
"""Private data up to this size are copied, so that a run judges by what it started with."""


class JudgeFiles:
    """Copies below `folder` that any uid can read: in the user's own folders a sandbox's may not.

    They are made when they are first asked for.
    """

    def __init__(self, context: EvaluatorContext, spec: EvaluatorBase, folder: Path) -> None:
        self._task = context.task
        self._executor = context.executor
        self._spec = spec
        self._folder = folder
        self._mounts: tuple[Mount, ...] = ()
        self._making = asyncio.Lock()

    async def mounts(self) -> tuple[Mount, ...]:
        """Read-only mounts at `/runner`, `/evaluator` and `/private`.

        Raises:
            SandboxUnavailableError: They cannot be copied.
        """
        async with self._making:
            if not self._mounts:
                loop = asyncio.get_running_loop()
                self._mounts = await loop.run_in_executor(self._executor, self._copy)
            return self._mounts

    def argv(self, sandbox: Sandbox, program: Path) -> list[str]:
        """The command that has `program` run the judge, as far as it is the same for all."""
        return [
            "python", "-I", "-B", f"{sandbox.path('/runner')}/{program.name}",
            *self._spec.judge_words(sandbox.path("/evaluator")),
            sandbox.path("/private"),
        ]  # fmt: skip

    def _copy(self) -> tuple[Mount, ...]:
        try:
            return _copied(self._task, self._folder)
        except OSError as error:
            raise SandboxUnavailableError(f"the judge's files cannot be copied: {error}") from error


def _copied(task: Task, folder: Path) -> tuple[Mount, ...]:
    private = folder / "private"
    for each in (folder / "runner", folder / "evaluator", private):
        each.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        shutil.copyfile(program, folder / "runner" / program.name)
    if task.evaluator is not None:
        shutil.copytree(task.evaluator, folder / "evaluator", dirs_exist_ok=True)
    if task.private is not None:
        if _size(task.private) <= COPIED_BYTES:
            shutil.copytree(task.private, private, dirs_exist_ok=True)
        else:
            private = task.private
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return (
        Mount(folder / "runner", "/runner"),
        Mount(folder / "evaluator", "/evaluator"),
        Mount(private, "/private"),
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
