"""Native tasks whose seed lies elsewhere: in a folder or in a git repository."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import TaskError
from harness.tasks.base import Task
from harness.tasks.folder import files_below
from harness.tasks.loader import load_task

PROGRAM = "print('loss: 2.0')\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def git(repository: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    argv = ["git", "-C", str(repository), *identity, *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with a tag `first`, a commit more, and changes that are not committed."""
    folder = tmp_path / "project"
    (folder / "python").mkdir(parents=True)
    (folder / "python" / "train.py").write_text(PROGRAM, "utf-8")
    (folder / "README.md").write_text("first\n", "utf-8")
    (folder / "link").symlink_to("README.md")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "first")
    git(folder, "tag", "first")
    (folder / "README.md").write_text("second\n", "utf-8")
    git(folder, "commit", "--quiet", "-am", "second")
    (folder / "README.md").write_text("not committed\n", "utf-8")
    (folder / "new.txt").write_text("not added\n", "utf-8")
    return folder


def write_task(tmp_path: Path, seed: Any, **keys: Any) -> Path:
    """A task folder without `seed/`."""
    file = {
        "name": "seeded",
        "description": "Lower the loss.",
        "direction": "minimize",
        "seed": seed,
        "evaluator": {
            "kind": "command",
            "run": ["python", "-c", "print(1)"],
            "metric": {"regex": "(\\d)"},
        },
        **keys,
    }
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "task.yaml").write_text(yaml.safe_dump(file), "utf-8")
    return folder


def texts(task: Task) -> dict[str, str]:
    return {name: path.read_text("utf-8") for name, path in files_below(task.seed)}


def test_a_folder_as_it_is(tmp_path: Path, repository: Path) -> None:
    task = load_task(write_task(tmp_path, {"path": "../project"}))
    assert texts(task) == {
        "README.md": "not committed\n",
        "link": "not committed\n",
        "new.txt": "not added\n",
        "python/train.py": PROGRAM,
    }
    assert task.notes == ()


@pytest.mark.parametrize(
    ("commit", "readme"), [("HEAD", "second\n"), ("first", "first\n"), ("main~1", "first\n")]
)
def test_a_commit(tmp_path: Path, repository: Path, commit: str, readme: str) -> None:
    spec = {"repository": "../project", "commit": commit}
    task = load_task(write_task(tmp_path, spec))
    assert texts(task) == {"README.md": readme, "python/train.py": PROGRAM}
    assert task.notes == (f"seed: commit {git(repository, 'rev-parse', commit)} of ../project",)


def test_a_folder_of_a_repository(tmp_path: Path, repository: Path) -> None:
    task = load_task(write_task(tmp_path, {"repository": "../project", "folder": "python"}))
    assert texts(task) == {"train.py": PROGRAM}


def test_a_repository_elsewhere_is_fetched_again(tmp_path: Path, repository: Path) -> None:
    folder = write_task(tmp_path, {"repository": repository.as_uri(), "commit": "main"})
    assert texts(load_task(folder))["README.md"] == "second\n"
    git(repository, "commit", "--quiet", "-am", "third")
    assert texts(load_task(folder))["README.md"] == "not committed\n"


def test_only_what_can_be_submitted(tmp_path: Path, repository: Path) -> None:
    submission = {"include": ["python/", "*.md"], "exclude": ["README.md"]}
    task = load_task(write_task(tmp_path, {"path": "../project"}, submission=submission))
    assert set(texts(task)) == {"python/train.py"}


def test_evaluator_and_private_files_come_along(tmp_path: Path, repository: Path) -> None:
    folder = write_task(tmp_path, {"repository": "../project"})
    for name in ("evaluator", "private", "knowledge", "cheats"):
        (folder / name / "sub").mkdir(parents=True)
        (folder / name / "sub" / "file.txt").write_text(name, "utf-8")
    task = load_task(folder)
    for part in (task.evaluator, task.private, task.knowledge, task.folder / "cheats"):
        assert part is not None
        assert (part / "sub" / "file.txt").read_text() == part.name


WRONG: tuple[tuple[Any, str], ...] = (
    ({}, "names neither or both.*either `path` or `repository`"),
    ({"path": "a", "repository": "b"}, "names neither or both"),
    ({"path": "../nowhere"}, "is no folder.*relative to task.yaml"),
    ({"path": "../empty"}, "there is no file in it"),
    ({"repository": "../nowhere"}, "is no folder.*or an address"),
    ({"repository": "--upload-pack=x://y"}, "is no folder.*or an address"),
    ({"repository": "file:///nowhere/at/all.git"}, "git: .*a repository with that commit"),
    ({"repository": "../project", "commit": "v9"}, "git: .*a repository with that commit"),
    ({"repository": "../project", "commit": "--all"}, "git: .*a repository with that commit"),
    ({"repository": "../project", "commit": "a b"}, "'seed.commit'"),
    ({"repository": "../project", "folder": "rust"}, "git: .*a repository with that commit"),
    ({"repository": "../project", "folder": "../task"}, "'seed.folder'"),
    ({"repository": "../project", "folder": "/etc"}, "'seed.folder'"),
    ({"path": "../project", "branch": "main"}, "'seed.branch'"),
    ("../project", "'seed'"),
)
"""The key `seed`, and what the three lines of the error say."""


@pytest.mark.parametrize(("seed", "words"), WRONG, ids=str)
def test_what_makes_no_sense(tmp_path: Path, repository: Path, seed: Any, words: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match=f"(?s){words}"):
        load_task(write_task(tmp_path, seed))


def test_beside_a_folder_seed(tmp_path: Path, repository: Path) -> None:
    folder = write_task(tmp_path, {"path": "../project"})
    (folder / "seed").mkdir()
    (folder / "seed" / "a.py").write_text("x = 1\n", "utf-8")
    with pytest.raises(TaskError, match="'seed'"):
        load_task(folder)
