"""From a task and the sandbox's configuration to an evaluator that is ready to score."""

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TaskError
from harness.evaluators.base import Evaluator, LateVerdict
from harness.evaluators.cache import cached
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.folders import own_folder
from harness.evaluators.kinds import make_evaluator
from harness.evaluators.pool import EvaluatorPool
from harness.evaluators.resources import Resources
from harness.sandbox.base import Capabilities, Mount, SandboxProvider, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.providers import open_provider
from harness.tasks.base import Task

ON_HOST_PYTHON = frozenset({"process", "bubblewrap"})
"""Providers whose sandboxes run the host's Python, so that an environment made here serves."""

_VERSIONS = """\
import importlib.metadata, json
found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
print(json.dumps({k: v for k, v in found.items() if k}))
"""


@dataclass(frozen=True, slots=True)
class OpenEvaluator:
    """Evaluations of a task, and what they stand on."""

    pool: EvaluatorPool
    capabilities: Capabilities
    executor: Executor


@asynccontextmanager
async def open_evaluator(
    task: Task, config: SandboxConfig, evaluators: EvaluatorConfig
) -> AsyncGenerator[OpenEvaluator]:
    """Score submissions outside a run; everything is closed and removed at the end.

    Raises:
        TaskError: What the task's environment declares is missing and cannot be had.
        ConfigurationError: The sandbox provider is unknown or does not work here, or there are
            fewer GPUs than the task asks for.
    """
    # Not below the user's own folders, where another uid may not reach.
    with (
        own_folder() as scratch,
        ThreadPoolExecutor(8, thread_name_prefix="harness-eval") as executor,
    ):
        provider, capabilities = await open_provider(config, executor)
        try:
            python = await prepare_environment(task, provider, capabilities, executor)
            context = EvaluatorContext(
                task,
                provider,
                config.limits,
                python,
                scratch,
                executor,
                {},
                prestart=config.prestart,
            )
            pool = await make_pool(context, capabilities, config, evaluators)
            try:
                yield OpenEvaluator(pool, capabilities, executor)
            finally:
                await pool.close()
        finally:
            await provider.close()


async def make_pool(
    context: EvaluatorContext,
    capabilities: Capabilities,
    sandbox: SandboxConfig,
    config: EvaluatorConfig,
    *,
    run: str = "",
    late: Callable[[LateVerdict], None] | None = None,
) -> EvaluatorPool:
    """The pool that `config` names; the caller closes it.

    Args:
        run: For people who look who has a GPU.
        late: Told of answers that come after they were given up (`ray`).

    Raises:
        ConfigurationError: There are fewer GPUs than the task asks for; the cluster cannot be used.
    """
    if config.pool == "local":
        resources = Resources.of(context.task, config, run)
        evaluator = await _with_cache(make_evaluator(context), context, capabilities, config)
        return EvaluatorPool(evaluator, config.at_once, resources, late)
    from harness.evaluators.cluster.evaluator import RayEvaluator

    if sandbox.provider == "auto":
        # What was found to isolate enough here, not what a node happens to have.
        sandbox = sandbox.model_copy(update={"provider": capabilities.name})
    remote = await RayEvaluator.connect(
        context.task, sandbox, config, context.executor, late or (lambda verdict: None)
    )
    evaluator = await _with_cache(remote, context, capabilities, config)
    return EvaluatorPool(evaluator, remote.slots)


async def _with_cache(
    evaluator: Evaluator,
    context: EvaluatorContext,
    capabilities: Capabilities,
    config: EvaluatorConfig,
) -> Evaluator:
    if config.cache is None:
        return evaluator
    try:
        return await cached(evaluator, context, capabilities, config.cache)
    except BaseException:
        await evaluator.close()
        raise


async def prepare_environment(
    task: Task, provider: SandboxProvider, capabilities: Capabilities, executor: Executor
) -> Path | None:
    """See to it that `environment.python` is there; the value for `SandboxSpec.python`.

    Raises:
        TaskError: Names what is missing, and how to get it.
        SandboxUnavailableError: When the image cannot be asked.
    """
    spec = task.file.environment
    if not spec.python:
        return None
    # `packaging` and pip's machinery, only for tasks that need them.
    from harness.tasks import environment

    where = f"{task.folder / 'task.yaml'}: 'environment.python'"
    loop = asyncio.get_running_loop()
    if capabilities.name in ON_HOST_PYTHON:
        return await loop.run_in_executor(executor, environment.environment_for, spec.python, where)
    versions = await _versions_in(provider, spec.image)
    required = environment.parse_requirements(spec.python, where)
    missing = environment.unmet(required, versions.get)
    if missing:
        names = " ".join(f"'{requirement}'" for requirement in missing)
        raise TaskError(
            f"{where}: the image {spec.image or '(base image)'} lacks {names}",
            expected="an image that has what the task declares",
            action=f"build one with `RUN python3 -m pip install {names}` and name it as "
            "'environment.image', or use --sandbox bubblewrap or process",
        )
    return None


async def _versions_in(provider: SandboxProvider, image: str | None) -> Mapping[str, str]:
    """Normalised name and version of each Python distribution in an image."""
    from packaging.utils import canonicalize_name

    with tempfile.TemporaryDirectory(prefix="harness-versions-") as empty:
        spec = SandboxSpec("judge", (Mount(Path(empty), "/work", read_only=False),), image=image)
        sandbox = await provider.create(spec)
        try:
            ended = await sandbox.exec(["python", "-I", "-c", _VERSIONS], timeout_s=60)
        finally:
            await sandbox.close()
    found: dict[str, str] = json.loads(ended.stdout) if ended.ok else {}
    return {canonicalize_name(name): version for name, version in found.items()}
