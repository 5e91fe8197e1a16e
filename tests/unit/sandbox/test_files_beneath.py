"""Files are read and written below a folder only, whatever lies in it."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox.files import (
    give_to,
    open_beneath,
    read_beneath,
    remove_tree,
    write_beneath,
)

SEGMENTS = st.sampled_from(["a", "b", "..", ".", "", "link", "up", "loop", "fifo", "f"])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)


def make_hostile(base: Path) -> Path:
    """A folder with links of every kind, beside a file that must not be reached."""
    root = base / "root"
    (root / "a" / "b").mkdir(parents=True)
    (base / "secret").write_bytes(b"secret")
    (root / "f").write_bytes(b"inside")
    (root / "a" / "f").write_bytes(b"inside")
    for folder in (root, root / "a"):
        (folder / "link").symlink_to(base / "secret")
        (folder / "up").symlink_to(base)
        (folder / "loop").symlink_to("loop")
        os.mkfifo(folder / "fifo")
    return root


@given(PATHS)
def test_what_is_read_lies_inside(path: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = make_hostile(Path(name))
        try:
            data = read_beneath(root, path, 100)
        except (PermissionError, FileNotFoundError):
            return
        assert data == b"inside"


@given(PATHS)
def test_what_is_written_lies_inside(path: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = make_hostile(Path(name))
        try:
            write_beneath(root, path, b"written", executable=False, owner=None)
        except PermissionError:
            written = False
        else:
            written = True
        assert sorted(entry.name for entry in Path(name).iterdir()) == ["root", "secret"]
        assert (Path(name) / "secret").read_bytes() == b"secret"
        if written:
            assert read_beneath(root, path, 100) == b"written"
        # No temporary file is left, whether it worked or not.
        assert not list(root.rglob(".*"))


def test_open_beneath_gives_a_descriptor_that_the_caller_closes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    fd = open_beneath(tmp_path, "f")
    try:
        assert os.read(fd, 10) == b"x"
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_a_nul_in_the_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        open_beneath(tmp_path, "a\0b")


def test_the_mode_says_whether_it_is_executable(tmp_path: Path) -> None:
    write_beneath(tmp_path, "x", b"", executable=True, owner=None)
    write_beneath(tmp_path, "y", b"", executable=False, owner=None)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "y").stat().st_mode & 0o777 == 0o644


def test_a_folder_without_permissions_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "locked" / "inner").mkdir(parents=True)
    (root / "locked" / "inner" / "f").write_bytes(b"x")
    (root / "link").symlink_to(tmp_path)
    (root / "locked" / "inner").chmod(0)
    (root / "locked").chmod(0)
    remove_tree(root)
    assert list(tmp_path.iterdir()) == []


def test_trees_of_any_depth_are_given_away_and_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for side in ("a", "b"):
        (root / side).mkdir(parents=True)
        here = os.open(root / side, os.O_RDONLY)
        for _ in range(2_000):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.symlink("/", "link", dir_fd=here)
        owner = (4321, 4322) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        give_to(root, owner)
        status = os.stat("link", dir_fd=here, follow_symlinks=False)
        os.close(here)
        assert (status.st_uid, status.st_gid) == owner
    remove_tree(root)
    assert list(tmp_path.iterdir()) == []
