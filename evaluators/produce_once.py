"""One run of a candidate's command for the files it writes, outside any run and without a judge."""

from concurrent.futures import ThreadPoolExecutor

from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.environments import prepare_environments
from harness.evaluators.folders import own_folder
from harness.evaluators.produce import Produced, Producer
from harness.sandbox.config import SandboxConfig
from harness.sandbox.providers import open_provider
from harness.tasks.base import Task
from harness.tasks.evaluation import AnswerSpec


async def produce_once(task: Task, config: SandboxConfig, job: EvaluationJob) -> Produced:
    """Run the submission's command where and as candidates of `task` run.

    Raises:
        TaskError: The task's environment cannot be had.
        ConfigurationError: The sandbox provider does not work here.
        SandboxUnavailableError: The sandbox, not the candidate, failed.
    """
    spec = task.file.evaluator
    assert isinstance(spec, AnswerSpec), "only candidates of the kind `answer` leave files"
    with (
        own_folder() as scratch,
        ThreadPoolExecutor(4, thread_name_prefix="harness-produce") as executor,
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
                dict(job.labels),
                image=environments.evaluator.image,
            )
            producer = Producer(context, spec)
            try:
                return await producer.run(job)
            finally:
                await producer.close()
        finally:
            await provider.close()
