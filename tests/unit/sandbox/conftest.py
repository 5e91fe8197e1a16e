"""Fixtures of the sandbox's tests."""

from pathlib import Path

import pytest

from harness.sandbox.repository import Repository


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """One repository for the property tests: objects only ever add up."""
    return Repository.create(tmp_path_factory.mktemp("shared") / "attempts.git")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A new one for each test."""
    return Repository.create(tmp_path / "attempts.git")
