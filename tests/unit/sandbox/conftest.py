"""Fixtures of the sandbox's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.sandbox.folder_sandbox import FolderSandbox

from harness.sandbox.placing import clear
from harness.sandbox.repository import Repository


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """One repository for the property tests: objects only ever add up."""
    return Repository.create(tmp_path_factory.mktemp("shared") / "attempts.git")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A new one for each test."""
    return Repository.create(tmp_path / "attempts.git")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[FolderSandbox]:
    """In an empty folder; modules that need isolation have their own."""
    (tmp_path / "work").mkdir()
    yield FolderSandbox(tmp_path / "work")
    clear(tmp_path / "work")  # pytest's own clean-up does not cope with every tree
