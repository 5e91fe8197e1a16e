"""From the configured name to a provider that works on this machine."""

from concurrent.futures import Executor
from dataclasses import replace
from typing import cast

from harness.errors import ConfigurationError, SandboxUnavailableError
from harness.plugins import load_plugin
from harness.sandbox.base import Capabilities, SandboxProvider
from harness.sandbox.config import SandboxConfig

GROUP = "harness.sandboxes"
# In the order in which `auto` tries them.
BUILT_IN = {
    "docker": "harness.sandbox.docker:DockerProvider",
    "bubblewrap": "harness.sandbox.bubblewrap:BubblewrapProvider",
    "process": "harness.sandbox.process:ProcessProvider",
}


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
    factory = load_plugin(
        name, group=GROUP, built_in=BUILT_IN, what="sandbox provider", flag="--sandbox"
    )
    provider = cast(SandboxProvider, factory(config, executor))
    try:
        return provider, await provider.describe()
    except BaseException:
        await provider.close()
        raise
