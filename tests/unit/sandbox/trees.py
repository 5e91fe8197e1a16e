"""Trees and commits for tests of the repository, and plain git to compare with."""

import os
import subprocess
from pathlib import Path

from hypothesis import strategies as st

from harness.ids import CommitHash
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


def commit_file(repository: Repository, data: bytes, *parents: CommitHash) -> CommitHash:
    tree = repository.write_tree({"a.py": TreeFile(data)})
    return repository.commit(tree, parents, "change", "agent-1", 1.0)
