"""The process provider keeps the sandbox contract."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.sandbox.base import SandboxProvider
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.sandbox import SandboxContract


class TestProcessSandbox(SandboxContract):
    @pytest.fixture
    async def provider(self) -> AsyncIterator[SandboxProvider]:
        with ThreadPoolExecutor(4) as executor:
            provider = ProcessProvider(SandboxConfig(provider="process"), executor)
            yield provider
            await provider.close()
