"""What a task's sandboxes run with: packages it declares, and for the evaluator its set-up."""

import asyncio
import json
import tempfile
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.sandbox.base import Capabilities, Mount, SandboxProvider, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.tasks.base import Task
from harness.tasks.folder import files_below

ON_HOST_PYTHON = frozenset({"process", "bubblewrap"})
"""Providers whose sandboxes run the host's Python, so that an environment made here serves."""

_VERSIONS = """\
import importlib.metadata, json
found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
print(json.dumps({k: v for k, v in found.items() if k}))
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """`python`: a virtual environment of the host's, None for the harness's own. `image`: of
    Docker's, None for the one that is configured."""

    python: Path | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Environments:
    """Apart from each other where the task has `environment.setup`: agents see nothing of that."""

    agents: Environment
    evaluator: Environment


async def prepare_environments(
    task: Task,
    provider: SandboxProvider,
    capabilities: Capabilities,
    config: SandboxConfig,
    executor: Executor,
) -> Environments:
    """See to it that what `environment` declares is there. Minutes the first time.

    Raises:
        TaskError: Names what is missing, and how to get it.
        SandboxUnavailableError: When the image cannot be asked.
    """
    spec = task.file.environment
    plain = Environment(image=spec.image)
    if not spec.python and not spec.setup:
        return Environments(plain, plain)
    if capabilities.name in ON_HOST_PYTHON:
        return await asyncio.get_running_loop().run_in_executor(executor, _on_host, task)
    return await _in_images(task, provider, config, executor)


def _on_host(task: Task) -> Environments:
    # `packaging` and pip's machinery, only for tasks that need them.
    from harness.tasks.environment import Setup, environment_for

    spec = task.file.environment
    where = f"{task.folder / 'task.yaml'}: 'environment.python'"
    agents = Environment(environment_for(spec.python, where) if spec.python else None)
    if not spec.setup:
        return Environments(agents, agents)
    setup = Setup(tuple(spec.setup), _evaluator_files(task))
    where = f"{task.folder / 'task.yaml'}: 'environment.setup'"
    return Environments(agents, Environment(environment_for(spec.python, where, setup=setup)))


def _evaluator_files(task: Task) -> dict[str, bytes]:
    if task.evaluator is None:
        return {}
    return {name: path.read_bytes() for name, path in files_below(task.evaluator)}


async def _in_images(
    task: Task, provider: SandboxProvider, config: SandboxConfig, executor: Executor
) -> Environments:
    from harness.sandbox.image_layers import Layer, build_layer
    from harness.tasks.environment import parse_requirements, unmet

    spec, loop = task.file.environment, asyncio.get_running_loop()
    image = spec.image or config.image
    build = partial(build_layer, docker_host=config.docker_host)
    where = f"{task.folder / 'task.yaml'}: 'environment.python'"
    required = parse_requirements(spec.python, where)
    versions: Mapping[str, str] = {}
    if required:
        versions = await _versions_in(provider, spec.image)
    missing = unmet(required, versions.get)
    agents = Environment(image=spec.image)
    if missing:
        layer = Layer(requirements=tuple(map(str, missing)))
        image = await loop.run_in_executor(executor, build, image, layer, where)
        agents = Environment(image=image)
    if not spec.setup:
        return Environments(agents, agents)
    layer = Layer(setup=tuple(spec.setup), files=_evaluator_files(task))
    where = f"{task.folder / 'task.yaml'}: 'environment.setup'"
    image = await loop.run_in_executor(executor, build, image, layer, where)
    return Environments(agents, Environment(image=image))


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
