"""Commits and refs as plain git sees them, and repositories opened, read and created."""

from pathlib import Path

import pytest
from tests.unit.sandbox.trees import commit_file, git

from harness.errors import StoreError
from harness.sandbox.repository import Repository, TreeFile


def test_a_commit_says_who_when_why_and_from_what(repository: Repository) -> None:
    first, second = commit_file(repository, b"1"), commit_file(repository, b"2")
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
    first, second = commit_file(repository, b"1"), commit_file(repository, b"2")
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
    commit = commit_file(repository, b"1")
    with pytest.raises(ValueError, match="ref name"):
        repository.set_ref(name, commit)


def test_a_ref_that_a_power_failure_left_empty_is_missing(repository: Repository) -> None:
    commit = commit_file(repository, b"1")
    repository.set_ref("refs/attempts/0", commit)
    (repository.path / "refs" / "attempts" / "0").write_bytes(b"")
    assert repository.refs() == {}
    repository.set_ref("refs/attempts/0", commit)
    assert repository.refs() == {"refs/attempts/0": commit}


def test_plain_git_logs_clones_and_checks_it(repository: Repository, tmp_path: Path) -> None:
    head = commit_file(repository, b"0")
    for number in (1, 2):
        head = commit_file(repository, b"%d" % number, head)
    repository.set_ref("refs/heads/main", head)

    assert len(git(repository.path, "log", "--oneline").splitlines()) == 3
    git(repository.path, "clone", "-q", str(repository.path), str(tmp_path / "clone"))
    assert (tmp_path / "clone" / "a.py").read_bytes() == b"2"
    assert git(repository.path, "fsck", "--full", "--strict") == b""


def test_everything_is_there_after_somebodys_git_gc(repository: Repository) -> None:
    contents = [b"line\n" * 500 + b"%d" % number for number in range(5)]
    commits = [commit_file(repository, data) for data in contents]
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
    old, new = commit_file(repository, b"1"), commit_file(repository, b"2")
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
