"""What the disk watch sees in folders made to hide from it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sandbox.placing import clear
from harness.sandbox.shim.watch import measure


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file of 1 MiB at the end of a path of 6,000 bytes."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with os.fdopen(os.open("big", os.O_CREAT | os.O_WRONLY, dir_fd=here), "wb") as file:
        file.write(bytes(1 << 20))
    os.close(here)
    yield tmp_path
    clear(tmp_path)


def test_bytes_files_and_the_largest_file_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("/etc")
    size, count, largest = measure([str(tmp_path)], 1000)
    assert 100_000 <= size < 200_000
    assert (count, largest) == (4, 100_000)


def test_a_file_below_the_longest_path_is_not_hidden(deep: Path) -> None:
    assert measure([str(deep)], 1000)[1] > 1000
