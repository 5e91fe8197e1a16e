"""What differs between two trees: as text for people, and as the contents of files."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from tests.unit.sandbox.trees import TREES

from harness.errors import StoreError
from harness.ids import TreeHash
from harness.sandbox.repository import Repository, TreeFile


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
