"""Verdicts that were given before, for the same tree, evaluator, data and environment."""

import asyncio
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness.attempt import StageResult, Status, Verdict, verdict_from, verdict_json
from harness.clock import isoformat
from harness.errors import ConfigurationError, SandboxUnavailableError
from harness.evaluators.base import EvaluationJob, Evaluator, Submission
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.strict_json import StrictJsonError, parse
from harness.sandbox.base import Capabilities, ExecResult, Guarantee, Mount, SandboxSpec
from harness.version import package_version

STAGE = "cached"
KEPT = frozenset({Status.SCORED, Status.INVALID, Status.FAILED})
"""Ends that the same evaluation would have again; limits are reached by chance as well."""

_ENVIRONMENT = """\
import hashlib, importlib.metadata, json, pathlib, platform, sys
found = sorted((d.metadata["Name"] or "", d.version) for d in importlib.metadata.distributions())
status = pathlib.Path("/var/lib/dpkg/status")
system = hashlib.sha256(status.read_bytes()).hexdigest() if status.is_file() else ""
print(json.dumps([sys.version, platform.machine(), system, found]))
"""


class CachedEvaluator:
    """Gives a verdict again instead of evaluating again.

    The key is a hash of the submitted files, the task (its evaluator included), its private data,
    the environment that commands see, the limits and the seed. A verdict that is given again bears
    the stage `cached` and counts as an evaluation like any other.
    """

    def __init__(
        self, evaluator: Evaluator, folder: Path, environment: str, executor: Executor
    ) -> None:
        self._evaluator = evaluator
        self._folder = folder
        self._environment = environment
        self._executor = executor

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission; see `Evaluator`."""
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        path = await loop.run_in_executor(self._executor, self._path, job.submission, job.seed)
        known = await loop.run_in_executor(self._executor, _read, path)
        if known is not None:
            at, verdict = known
            spent_s = time.perf_counter() - began
            stage = StageResult(STAGE, verdict.status, spent_s, f"a verdict of {isoformat(at)}")
            return replace(verdict, stages=(stage, *verdict.stages), duration_s=spent_s)
        verdict = await self._evaluator.evaluate(job)
        if verdict.status in KEPT:
            await loop.run_in_executor(self._executor, _write, path, verdict)
        return verdict

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run; see `Evaluator`."""
        return await self._evaluator.try_out(job, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the evaluator. May be called twice."""
        await self._evaluator.close()

    def _path(self, submission: Submission, seed: int) -> Path:
        digest = hashlib.sha256(f"{self._environment} {seed}".encode())
        for name, file in sorted(submission.files().items()):
            content = hashlib.sha256(file.data).hexdigest()
            digest.update(json.dumps([name, file.executable, content]).encode())
        key = digest.hexdigest()
        return self._folder / key[:2] / f"{key}.json"


async def cached(
    evaluator: Evaluator, context: EvaluatorContext, capabilities: Capabilities, folder: Path
) -> Evaluator:
    """`evaluator` with a cache below `folder`; as it is where a second look may differ.

    Raises:
        ConfigurationError: Candidates could write the cache, or it cannot be made.
        SandboxUnavailableError: The environment cannot be looked at.
    """
    file = context.task.file
    if file.limits.exclusive or file.evaluator.noise > 0:
        return evaluator
    if Guarantee.HOST_FILES not in capabilities.enforced:
        raise ConfigurationError(
            f"evaluators.cache: the sandbox {capabilities.name!r} does not keep candidates from it",
            expected="a sandbox that hides the user's files: docker or bubblewrap",
            action="unset evaluators.cache, or choose another sandbox",
        )
    folder = folder.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"evaluators.cache: {folder} cannot be made: {error.strerror}",
            expected="a folder that can be written",
            action="name another one",
        ) from error
    environment = await _environment(context, capabilities)
    return CachedEvaluator(evaluator, folder, environment, context.executor)


async def _environment(context: EvaluatorContext, capabilities: Capabilities) -> str:
    """A hash of everything but the submission that a verdict depends on."""
    task = context.task
    with tempfile.TemporaryDirectory(prefix="harness-environment-") as empty:
        sandbox = await context.provider.create(
            SandboxSpec(
                purpose="judge",
                mounts=(Mount(Path(empty), "/work", read_only=False),),
                labels=context.labels,
                image=context.image,
                python=context.python,
            )
        )
        try:
            ended = await sandbox.exec(["python", "-I", "-c", _ENVIRONMENT], timeout_s=60)
        finally:
            await sandbox.close()
    if not ended.ok:
        raise SandboxUnavailableError(f"the environment cannot be looked at: {ended.text()[-500:]}")
    parts: list[str | None] = [
        package_version(),
        task.hash,
        task.private_hash,
        task.file.evaluator.model_dump_json(),
        context.candidate_limits.model_dump_json(),
        capabilities.name,
        ended.stdout.decode("utf-8", "replace"),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(path: Path) -> tuple[float, Verdict] | None:
    try:
        document = parse(path.read_bytes())
        assert isinstance(document, dict)
        verdict = document["verdict"]
        assert isinstance(verdict, dict)
        return path.stat().st_mtime, verdict_from(verdict)
    except (OSError, StrictJsonError, AssertionError, KeyError, TypeError, ValueError):
        return None  # not there, or damaged: it is evaluated


def _write(path: Path, verdict: Verdict) -> None:
    """As a whole or not at all; a cache that cannot be written costs time only."""
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"verdict": verdict_json(verdict)}, file)
        Path(name).rename(path)
