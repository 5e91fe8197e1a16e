"""What tests on a GPU need, and what they say where it is missing."""

import pytest

from harness.evaluators.gpus.discovery import Gpu, discover


@pytest.fixture(scope="session")
def gpus() -> list[Gpu]:
    found = discover()
    if not found:
        pytest.skip("no NVIDIA GPU here (neither NVML nor nvidia-smi finds one)")
    return found
