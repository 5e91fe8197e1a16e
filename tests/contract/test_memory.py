"""The SQLite memory keeps the contract, with and without Chroma taking part."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.memory.base import Memory, MemoryConfig, Scope
from harness.memory.open import open_memory
from harness.testing.memory import MemoryContract, Opener


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


class TestSqliteMemory(MemoryContract):
    @pytest.fixture
    def opener(self, tmp_path: Path, executor: ThreadPoolExecutor) -> Opener:
        async def opened(scope: Scope) -> Memory:
            config = MemoryConfig(path=str(tmp_path / "memory"), scope=scope)
            return await open_memory(config, executor, clock=SystemClock())

        return opened
