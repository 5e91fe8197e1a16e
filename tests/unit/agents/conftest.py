"""Fixtures of the agents' tests."""

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import pytest_asyncio

from harness.sandbox.base import SandboxProvider
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider


@pytest_asyncio.fixture
async def provider() -> AsyncGenerator[SandboxProvider]:
    """The process sandbox: works everywhere, and what runs in it here is our own."""
    with ThreadPoolExecutor(4) as executor:
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        yield provider
        await provider.close()
