"""From a configured name to a provider."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from harness.errors import ConfigurationError, SandboxUnavailableError
from harness.sandbox.base import Capabilities
from harness.sandbox.bubblewrap import BubblewrapProvider
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.sandbox.providers import open_provider

NO_DAEMON = "unix:///nonexistent/docker.sock"


class Unavailable(ProcessProvider):
    """A third party's provider, which lacks something."""

    async def describe(self) -> Capabilities:
        raise SandboxUnavailableError("the moon is not full")


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


async def test_a_built_in_provider_by_name(executor: Executor) -> None:
    provider, found = await open_provider(SandboxConfig(provider="process"), executor)
    assert isinstance(provider, ProcessProvider)
    assert found.name == "process"
    assert not found.isolates_model_code
    await provider.close()


@pytest.mark.bubblewrap
async def test_auto_without_docker_takes_bubblewrap_and_says_why(executor: Executor) -> None:
    config = SandboxConfig(docker_host=NO_DAEMON)
    provider, found = await open_provider(config, executor)
    assert isinstance(provider, BubblewrapProvider)
    assert "docker" in found.detail
    assert found.isolates_model_code
    await provider.close()


async def test_auto_without_docker_and_bubblewrap_takes_process(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BubblewrapProvider, "_tried", False)
    monkeypatch.setenv("PATH", "/nonexistent")
    provider, found = await open_provider(SandboxConfig(docker_host=NO_DAEMON), executor)
    assert isinstance(provider, ProcessProvider)
    assert "bubblewrap" in found.detail
    await provider.close()


async def test_a_provider_of_a_third_party_by_reference(executor: Executor) -> None:
    reference = "harness.sandbox.process:ProcessProvider"
    provider, _ = await open_provider(SandboxConfig(provider=reference), executor)
    assert isinstance(provider, ProcessProvider)
    await provider.close()


async def test_a_named_provider_that_does_not_work_is_the_users_to_change(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.sandbox.process.ProcessProvider", Unavailable)
    with pytest.raises(ConfigurationError) as raised:
        await open_provider(SandboxConfig(provider="process"), executor)
    assert "the moon is not full" in raised.value.wrong
    assert raised.value.expected
    assert raised.value.action


@pytest.mark.parametrize(
    "name", ["proces", "no.such.module:Class", "harness.sandbox.process:NoSuchClass"]
)
async def test_an_unknown_provider_is_told(executor: Executor, name: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        await open_provider(SandboxConfig(provider=name), executor)
    assert name in raised.value.wrong
