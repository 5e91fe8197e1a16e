"""The sandbox contract on Docker, and what only Docker does."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.sandbox.config import SandboxConfig
from harness.sandbox.docker import DockerProvider
from harness.testing.sandbox import SandboxContract

pytestmark = pytest.mark.docker


class TestDocker(SandboxContract):
    @pytest.fixture
    async def provider(self) -> AsyncIterator[DockerProvider]:
        with ThreadPoolExecutor(8) as executor:
            provider = DockerProvider(SandboxConfig(), executor)
            yield provider
            await provider.close()
