"""Trees agree with git, byte for byte, and what git refuses is refused."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from tests.unit.sandbox.trees import TREES, git

from harness.sandbox.objects import ObjectStore, TreeEntry, encode_tree
from harness.sandbox.repository import Repository, TreeFile


@given(files=TREES)
def test_files_come_back_as_they_went_in(shared: Repository, files: dict[str, TreeFile]) -> None:
    tree = shared.write_tree(files)

    assert shared.files(tree) == files
    assert list(shared.files(tree)) == sorted(files)


@given(files=TREES)
@example(files={path: TreeFile(b"") for path in ("a/x", "a.py", "a-b", "a0", "a/b/c")})
@settings(deadline=None, max_examples=10)
def test_git_computes_the_same_tree_from_the_checked_out_files(
    shared: Repository, tmp_path_factory: pytest.TempPathFactory, files: dict[str, TreeFile]
) -> None:
    tree = shared.write_tree(files)
    folder = tmp_path_factory.mktemp("clean")
    shared.checkout(tree, folder / "files")
    own = folder / "own.git"
    git(own, "init", "-q", "--bare", str(own))
    work = f"--work-tree={folder / 'files'}"
    git(own, work, "-c", "core.bare=false", "add", "--all", "--force", ".")

    assert git(own, "write-tree").decode().strip() == tree


@given(files=TREES)
@settings(deadline=None, max_examples=10)
def test_git_reads_what_was_written(shared: Repository, files: dict[str, TreeFile]) -> None:
    tree = shared.write_tree(files)
    listed = git(shared.path, "ls-tree", "-r", "-z", tree).split(b"\0")[:-1]

    seen: dict[str, TreeFile] = {}
    for line in listed:
        about, _, path = line.partition(b"\t")
        mode, kind, sha = about.decode().split()
        assert kind == "blob"
        data = git(shared.path, "cat-file", "blob", sha)
        assert git(shared.path, "hash-object", "--stdin", stdin=data).decode().strip() == sha
        seen[path.decode("utf-8")] = TreeFile(data, mode == "100755")
    assert seen == files


def test_fsck_accepts_every_tree_of_the_property_tests(shared: Repository) -> None:
    shared.write_tree({".gitattributes": TreeFile(b"x" * 2047 + b"\n* text\n")})

    assert shared.check() == []


@pytest.mark.parametrize(
    "path",
    [
        "", "/a", "a/", "a//b", ".", "..", "a/../b", ".git", "a/.git/config", ".GIT", ".git.",
        ".git ", ".git::$INDEX_ALLOCATION", "git~1", ".gitmodules", ".GitModules", "GITMOD~1",
        "gi7eba~1", "a\\b", "a\nb", "a\x7fb", "a\u200db", "a\u2028b", "a\udcffb", "n" * 256,
        "ü" * 128, "/".join(["d"] * 33), "/".join(["d" * 200] * 6),
    ],
)  # fmt: skip
def test_paths_that_git_or_a_file_system_would_refuse(repository: Repository, path: str) -> None:
    with pytest.raises(ValueError, match=r"name|path|deep|git"):
        repository.write_tree({path: TreeFile(b"")})


def test_git_refuses_the_names_that_we_refuse_because_of_git(repository: Repository) -> None:
    """The list is git's: each of them, written without the check, fails `git fsck --strict`."""
    store = ObjectStore(repository.path / "objects")
    blob = store.write("blob", b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n')
    for name in [".git", ".GIT", ".git.", "git~1", ".gitmodules", ".GitModules", "gitmod~1"]:
        fresh = Repository.create(repository.path.parent / f"{name.encode().hex()}.git")
        store = ObjectStore(fresh.path / "objects")
        assert store.write("blob", b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n') == blob
        store.write("tree", encode_tree([TreeEntry("100644", name, blob)]))
        store.sync()
        assert fresh.check() != [], name


def test_an_attributes_file_that_git_would_not_read_is_refused(repository: Repository) -> None:
    with pytest.raises(ValueError, match="no line longer"):
        repository.write_tree({"a/.GitAttributes": TreeFile(b"x" * 2048)})


def test_a_path_cannot_be_file_and_folder(repository: Repository) -> None:
    with pytest.raises(ValueError, match="both a file and a folder"):
        repository.write_tree({"a": TreeFile(b""), "a/b": TreeFile(b"")})


def test_content_reaches_the_checkout_byte_for_byte(repository: Repository, tmp_path: Path) -> None:
    files = {
        ".gitattributes": TreeFile(
            b"* text eol=crlf ident filter=evil working-tree-encoding=UTF-16"
        ),
        "crlf.txt": TreeFile(b"a\r\nb\n$Id$\n"),
        "run.sh": TreeFile(b"#!/bin/sh\n", executable=True),
        "deep/er/empty": TreeFile(b""),
    }
    repository.checkout(repository.write_tree(files), tmp_path / "out")

    found = {
        path.relative_to(tmp_path / "out").as_posix(): TreeFile(
            path.read_bytes(), bool(path.stat().st_mode & 0o111)
        )
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == files


def test_checkout_wants_an_empty_folder(repository: Repository, tmp_path: Path) -> None:
    tree = repository.write_tree({"a": TreeFile(b"1")})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").touch()

    with pytest.raises(FileExistsError):
        repository.checkout(tree, tmp_path / "out")
