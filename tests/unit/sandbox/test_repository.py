"""The repository agrees with git, refuses what git refuses, and loses nothing."""

import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.ids import CommitHash, TreeHash
from harness.sandbox.objects import ObjectStore, TreeEntry, encode_tree
from harness.sandbox.repository import Repository, TreeFile
from harness.sandbox.tree import path_problem

NAMES = st.one_of(
    st.sampled_from(["a", "b", "a.py", "a-b", "a0", "-rf", "git", ".gitignore", "x.lock", "CON"]),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12),
)
PATHS = (
    st.lists(NAMES, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda path: path_problem(path) is None)
)
FILES = st.builds(TreeFile, st.binary(max_size=200), st.booleans())


def _without_clashes(files: dict[str, TreeFile]) -> dict[str, TreeFile]:
    folders = {path[:at] for path in files for at, sign in enumerate(path) if sign == "/"}
    return {path: file for path, file in files.items() if path not in folders}


TREES = st.dictionaries(PATHS, FILES, max_size=8).map(_without_clashes)


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Plain git, with nobody's configuration."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DIR": str(repository),
    }
    return subprocess.run(
        ["git", *arguments], env=environment, input=stdin, capture_output=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """One repository for the property tests: objects only ever add up."""
    return Repository.create(tmp_path_factory.mktemp("shared") / "attempts.git")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "attempts.git")


def _commit(repository: Repository, data: bytes, *parents: CommitHash) -> CommitHash:
    tree = repository.write_tree({"a.py": TreeFile(data)})
    return repository.commit(tree, parents, "change", "agent-1", 1.0)


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


def test_a_commit_says_who_when_why_and_from_what(repository: Repository) -> None:
    first, second = _commit(repository, b"1"), _commit(repository, b"2")
    tree = repository.write_tree({"a.py": TreeFile(b"3")})
    commit = repository.commit(
        tree, [second, first], "title\n\nbody ü\udc80\0\n\n", "agent-1", 1700000000.9
    )

    shown = git(repository.path, "log", "-1", "--format=%T|%P|%an|%at|%cn|%ct|%B", commit).decode()
    assert shown.strip() == (
        f"{tree}|{second} {first}|agent-1|1700000000|agent-1|1700000000|title\n\nbody ü\\udc80"
    )
    assert repository.tree_of(commit) == tree
    assert repository.check() == []


@pytest.mark.parametrize("author", ["", "<>", "a <b> c\n", "..", "Zoë", "x" * 300])
@pytest.mark.parametrize("at", [-5.0, 0.0, 4e9])
def test_no_author_or_date_makes_a_commit_that_fsck_refuses(
    shared: Repository, author: str, at: float
) -> None:
    shared.commit(shared.write_tree({}), [], "", author, at)

    assert shared.check() == []


def test_refs_are_listed_moved_and_read_after_packing(repository: Repository) -> None:
    first, second = _commit(repository, b"1"), _commit(repository, b"2")
    (repository.path / "refs/attempts").mkdir()
    (repository.path / "refs/attempts/1.lock").write_text("a writer was killed here")
    repository.set_ref("refs/attempts/0", first)
    repository.set_ref("refs/attempts/1", first)
    git(repository.path, "pack-refs", "--all")
    repository.set_ref("refs/attempts/1", second)
    repository.set_ref("refs/heads/main", second)

    expected = {"refs/attempts/0": first, "refs/attempts/1": second, "refs/heads/main": second}
    assert repository.refs() == expected
    shown = git(repository.path, "for-each-ref", "--format=%(refname) %(objectname)").decode()
    assert dict(line.split() for line in shown.splitlines()) == expected


@pytest.mark.parametrize(
    "name", ["HEAD", "refs", "refs/", "refs/../x", "refs/a..b", "refs/.a", "refs/a.lock", "refs/a "]
)
def test_ref_names_stay_below_refs(repository: Repository, name: str) -> None:
    commit = _commit(repository, b"1")
    with pytest.raises(ValueError, match="ref name"):
        repository.set_ref(name, commit)


def test_a_ref_that_a_power_failure_left_empty_is_missing(repository: Repository) -> None:
    commit = _commit(repository, b"1")
    repository.set_ref("refs/attempts/0", commit)
    (repository.path / "refs" / "attempts" / "0").write_bytes(b"")
    assert repository.refs() == {}
    repository.set_ref("refs/attempts/0", commit)
    assert repository.refs() == {"refs/attempts/0": commit}


def test_plain_git_logs_clones_and_checks_it(repository: Repository, tmp_path: Path) -> None:
    head = _commit(repository, b"0")
    for number in (1, 2):
        head = _commit(repository, b"%d" % number, head)
    repository.set_ref("refs/heads/main", head)

    assert len(git(repository.path, "log", "--oneline").splitlines()) == 3
    git(repository.path, "clone", "-q", str(repository.path), str(tmp_path / "clone"))
    assert (tmp_path / "clone" / "a.py").read_bytes() == b"2"
    assert git(repository.path, "fsck", "--full", "--strict") == b""


def test_everything_is_there_after_somebodys_git_gc(repository: Repository) -> None:
    contents = [b"line\n" * 500 + b"%d" % number for number in range(5)]
    commits = [_commit(repository, data) for data in contents]
    for number, commit in enumerate(commits):
        repository.set_ref(f"refs/attempts/{number}", commit)
    git(repository.path, "gc", "-q", "--aggressive", "--prune=now")
    assert not list((repository.path / "objects").glob("[0-9a-f][0-9a-f]"))

    reopened = Repository.open(repository.path)
    assert list(reopened.refs().values()) == commits
    for commit, data in zip(commits, contents, strict=True):
        assert reopened.files(reopened.tree_of(commit)) == {"a.py": TreeFile(data)}
        assert repository.files(repository.tree_of(commit)) == {"a.py": TreeFile(data)}
    reopened.close()


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")
    }


def test_reading_writes_nothing(repository: Repository) -> None:
    old, new = _commit(repository, b"1"), _commit(repository, b"2")
    repository.set_ref("refs/attempts/0", old)
    before = _state(repository.path)

    reader = Repository.open(repository.path)
    reader.files(reader.tree_of(old))
    reader.diff(reader.tree_of(old), reader.tree_of(new))
    assert reader.check() == []
    assert reader.refs() == {"refs/attempts/0": old}
    reader.close()
    assert _state(repository.path) == before


def test_opening_what_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a bare git repository"):
        Repository.open(tmp_path)


def test_creating_over_something_changes_nothing(repository: Repository) -> None:
    before = _state(repository.path.parent)
    with pytest.raises(FileExistsError):
        Repository.create(repository.path)
    assert _state(repository.path.parent) == before


def test_a_diff_shows_text_and_names_binaries(repository: Repository) -> None:
    old = repository.write_tree({"a.py": TreeFile(b"x = 1\n"), "b": TreeFile(b"\0\1")})
    new = repository.write_tree({"a.py": TreeFile(b"x = \xff\n"), "b": TreeFile(b"\0\2")})
    diff = repository.diff(old, new)

    assert "-x = 1\n+x = \\xff\n" in diff
    assert "Binary files a/b and b/b differ" in diff
    assert repository.diff(new, new) == ""
    with pytest.raises(StoreError, match="diff-tree"):
        repository.diff(old, TreeHash("0" * 39 + "1"))


def test_a_diff_runs_nobodys_program_and_hides_nothing(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    program = f"touch {canary}; cat"
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[diff]\n\texternal = {program}\n[diff "x"]\n\ttextconv = {program}\n'
        f"\tcommand = {program}\n[color]\n\tui = always\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", program)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere.git"))
    attributes = TreeFile(b"* diff=x -diff\n")
    old = repository.write_tree({".gitattributes": attributes, "a": TreeFile(b"1\n")})
    new = repository.write_tree({".gitattributes": attributes, "a": TreeFile(b"2\n")})
    repository.set_ref("refs/heads/main", repository.commit(new, [], "x", "agent-1", 1.0))

    assert "-1\n+2\n" in repository.diff(old, new)
    assert repository.check() == []
    assert not canary.exists()


def _damage(repository: Repository, sha: str, content: bytes) -> None:
    path = repository.path / "objects" / sha[:2] / sha[2:]
    path.unlink()
    if content:
        path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_damage_is_noticed(repository: Repository, content: bytes) -> None:
    commit = _commit(repository, b"1")
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


@settings(max_examples=10)
@given(TREES, TREES)
def test_changed_is_what_a_comparison_of_all_files_finds(
    shared: Repository, old: dict[str, TreeFile], new: dict[str, TreeFile]
) -> None:
    trees = [shared.write_tree(files) for files in (old, new)]
    contents = [{path: file.data for path, file in files.items()} for files in (old, new)]
    differing = {
        path
        for path in contents[0].keys() | contents[1].keys()
        if contents[0].get(path) != contents[1].get(path)
    }
    found = shared.changed(*trees, max_files=1000)
    assert found == tuple(
        {path: data for path, data in content.items() if path in differing} for content in contents
    )


def test_changed_reads_only_the_beginnings_of_some_files(repository: Repository) -> None:
    files = {f"{number}.bin": TreeFile(os.urandom(5000)) for number in range(4)}
    trees = (repository.write_tree({}), repository.write_tree(files))
    before, after = repository.changed(*trees, max_files=3, max_bytes=3000)
    assert before == {}
    assert after == {f"{number}.bin": files[f"{number}.bin"].data[:3000] for number in range(3)}
