"""From the configured name to a provider that works on this machine."""

import importlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from importlib.metadata import entry_points
from typing import cast

from harness.errors import ConfigurationError, SandboxUnavailableError
from harness.sandbox.base import Capabilities, SandboxProvider
from harness.sandbox.config import SandboxConfig

GROUP = "harness.sandboxes"
# In the order in which `auto` tries them.
BUILT_IN = {
    "docker": "harness.sandbox.docker:DockerProvider",
    "bubblewrap": "harness.sandbox.bubblewrap:BubblewrapProvider",
    "process": "harness.sandbox.process:ProcessProvider",
}

ProviderFactory = Callable[[SandboxConfig, Executor], SandboxProvider]


async def open_provider(
    config: SandboxConfig, executor: Executor
) -> tuple[SandboxProvider, Capabilities]:
    """The configured provider and what it enforces here; the caller closes it.

    Raises:
        ConfigurationError: An unknown provider, or a named one that does not work here.
        SandboxUnavailableError: `auto` found none that works.
    """
    if config.provider == "auto":
        return await _first_working(config, executor)
    try:
        return await _open(config.provider, config, executor)
    except SandboxUnavailableError as error:
        raise ConfigurationError(
            f"the sandbox provider {config.provider!r} does not work here: {error}",
            expected="a provider that works on this machine",
            action="install what is missing, or choose --sandbox auto; see harness doctor",
        ) from error


async def _first_working(
    config: SandboxConfig, executor: Executor
) -> tuple[SandboxProvider, Capabilities]:
    reasons: list[str] = []
    for name in BUILT_IN:
        try:
            provider, found = await _open(name, config, executor)
        except (SandboxUnavailableError, ConfigurationError) as error:
            reasons.append(f"{name}: {error}")
            continue
        return provider, replace(found, detail="; ".join([found.detail, *reasons]))
    raise SandboxUnavailableError("no sandbox provider works here: " + "; ".join(reasons))


async def _open(
    name: str, config: SandboxConfig, executor: Executor
) -> tuple[SandboxProvider, Capabilities]:
    provider = _factory(name)(config, executor)
    try:
        return provider, await provider.describe()
    except BaseException:
        await provider.close()
        raise


def _factory(name: str) -> ProviderFactory:
    reference = BUILT_IN.get(name, name if ":" in name else None)
    if reference is None:
        for entry in entry_points(group=GROUP, name=name):
            reference = entry.value
    if reference is None:
        names = sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))})
        raise ConfigurationError(
            f"no sandbox provider is called {name!r}",
            expected=f"auto, {', '.join(names)}, or package.module:Class",
            action="correct --sandbox or sandbox.provider in harness.yaml",
        )
    module, _, attribute = reference.partition(":")
    try:
        return cast(ProviderFactory, getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the sandbox provider {name!r} cannot be imported: {error}",
            expected=f"a class at {reference}",
            action="install the package that provides it, or correct the name",
        ) from error
