"""The bubblewrap provider keeps the sandbox contract."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.sandbox.base import SandboxProvider
from harness.sandbox.bubblewrap import BubblewrapProvider
from harness.sandbox.config import SandboxConfig
from harness.testing.sandbox import SandboxContract


@pytest.mark.bubblewrap
class TestBubblewrapSandbox(SandboxContract):
    @pytest.fixture
    async def provider(self) -> AsyncIterator[SandboxProvider]:
        with ThreadPoolExecutor(4) as executor:
            provider = BubblewrapProvider(SandboxConfig(provider="bubblewrap"), executor)
            yield provider
            await provider.close()
