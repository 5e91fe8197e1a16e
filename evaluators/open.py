"""From a task and the sandbox's configuration to an evaluator that is ready to score."""

from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from harness.evaluators.base import Evaluator, LateVerdict
from harness.evaluators.cache import cached
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.environments import prepare_environments
from harness.evaluators.folders import own_folder
from harness.evaluators.kinds import make_evaluator
from harness.evaluators.pool import EvaluatorPool
from harness.evaluators.resources import Resources
from harness.sandbox.base import Capabilities
from harness.sandbox.config import SandboxConfig
from harness.sandbox.providers import open_provider
from harness.tasks.base import Task


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
            environments = await prepare_environments(
                task, provider, capabilities, config, executor
            )
            context = EvaluatorContext(
                task,
                provider,
                config.limits,
                environments.evaluator.python,
                scratch,
                executor,
                {},
                prestart=config.prestart,
                image=environments.evaluator.image,
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
