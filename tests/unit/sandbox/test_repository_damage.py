"""Damage and foreign objects are noticed; threads and power failures lose nothing."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.sandbox.trees import commit_file

from harness.errors import StoreError
from harness.ids import CommitHash, TreeHash
from harness.sandbox.objects import ObjectStore, TreeEntry, encode_tree
from harness.sandbox.repository import Repository, TreeFile


def _damage(repository: Repository, sha: str, content: bytes) -> None:
    path = repository.path / "objects" / sha[:2] / sha[2:]
    path.unlink()
    if content:
        path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_damage_is_noticed(repository: Repository, content: bytes) -> None:
    commit = commit_file(repository, b"1")
    repository.set_ref("refs/attempts/0", commit)
    tree = repository.tree_of(commit)
    _damage(repository, tree, content)

    assert repository.check() != []
    with pytest.raises(StoreError, match=tree):
        repository.files(tree)


def test_an_object_in_the_place_of_another_is_noticed(repository: Repository) -> None:
    tree, other = (repository.write_tree({"a": TreeFile(data)}) for data in (b"1", b"2"))
    objects = repository.path / "objects"
    _damage(repository, tree, (objects / other[:2] / other[2:]).read_bytes())

    with pytest.raises(StoreError, match="damaged"):
        repository.files(tree)


@pytest.mark.parametrize(
    ("mode", "name"), [("100644", ".."), ("120000", "link"), ("160000", "module")]
)
def test_trees_that_we_did_not_write_are_not_read(
    repository: Repository, mode: str, name: str, tmp_path: Path
) -> None:
    """A run copied from a stranger: nothing leaves the folder of the checkout."""
    store = ObjectStore(repository.path / "objects")
    blob = store.write("blob", b"/etc/passwd")
    tree = TreeHash(store.write("tree", encode_tree([TreeEntry(mode, name, blob)])))

    with pytest.raises(StoreError, match=name):
        repository.checkout(tree, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_threads_take_turns(repository: Repository) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> list[CommitHash]:
        start.wait()
        made: list[CommitHash] = []
        for step in range(8):
            files = {
                "same": TreeFile(b"%d" % step),  # the same objects from all of them
                "own": TreeFile(b"%d %d" % (number, step)),
            }
            tree = repository.write_tree(files)
            made.append(repository.commit(tree, made[-1:], "x", f"agent-{number}", 1.0))
            repository.set_ref(f"refs/attempts/{number}-{step}", made[-1])
            assert repository.files(tree) == files
        return made

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(work, range(8)))

    assert repository.check() == []
    assert repository.refs() == {
        f"refs/attempts/{number}-{step}": commit
        for number, commits in enumerate(made)
        for step, commit in enumerate(commits)
    }


def test_what_is_returned_has_been_synced(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file and, after its appearance, its folder: the calls that a power failure asks for."""
    log: list[tuple[str, int]] = []
    fsync, rename = os.fsync, os.rename

    def logged_fsync(descriptor: int) -> None:
        fsync(descriptor)
        log.append(("sync", os.fstat(descriptor).st_ino))

    def logged_rename(source: str, target: str) -> None:
        rename(source, target)
        log.append(("name", Path(target).stat().st_ino))

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "rename", logged_rename)
    known = set(repository.path.rglob("*"))
    tree = repository.write_tree({"a/b/c": TreeFile(b"1"), "d": TreeFile(b"2")})
    repository.commit(tree, [], "x", "agent-1", 1.0)

    new = [path for path in repository.path.rglob("*") if path not in known]
    assert len([path for path in new if path.is_file()]) == 2 + 3 + 1
    for path in new:
        folder = ("sync", path.parent.stat().st_ino)
        if path.is_file():
            inode = path.stat().st_ino
            named = log.index(("name", inode))
            assert ("sync", inode) in log[:named]
            assert folder in log[named:]
        else:
            assert folder in log
