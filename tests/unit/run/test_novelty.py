"""Near-duplicates and lines that come back, on trees in a real repository."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.attempt import Attempt, Operator, Status
from harness.ids import AgentId, AttemptId, CommitHash
from harness.memory.base import MemoryConfig
from harness.run.novelty import Novelty, fingerprint
from harness.run.revivals import revivals
from harness.sandbox.repository import Repository
from harness.sandbox.tree import TreeFile
from harness.search.config import NoveltyConfig

PROGRAM = b"import json\n\nVALUES = [1.0, 2.0]\n\n\ndef main():\n    print(json.dumps(VALUES))\n"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    made = Repository.create(tmp_path / "attempts.git")
    yield made
    made.close()


class History:
    """Attempts with the given programs."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.attempts: list[Attempt] = []

    def add(self, program: bytes, *parents: int, status: Status = Status.QUEUED) -> Attempt:
        tree = self.repository.write_tree({"solve.py": TreeFile(program)})
        attempt = Attempt(
            id=AttemptId(str(len(self.attempts))),
            commit=CommitHash("0" * 40),
            tree=tree,
            agent=AgentId("agent-1"),
            operator=Operator.IMPROVE,
            parents=tuple(AttemptId(str(each)) for each in parents),
            references=(),
            title="",
            status=status,
            created_at=0.0,
        )
        self.attempts.append(attempt)
        return attempt


def novelty(repository: Repository, **settings: float) -> Novelty:
    config = NoveltyConfig.model_validate(settings)
    return Novelty(config, MemoryConfig(), repository)


@pytest.mark.parametrize(
    "program",
    [
        PROGRAM.replace(b"VALUES = [1.0, 2.0]", b"# two\nVALUES = [\n    1.0,\n    2.0,\n]"),
        b'"""What it does."""\n' + PROGRAM,
        PROGRAM.replace(b"main():\n", b'main():\n    "Writes."\n'),
    ],
)
def test_comments_docstrings_and_layout_make_no_new_attempt(
    repository: Repository, program: bytes
) -> None:
    history = History(repository)
    history.add(PROGRAM)
    tree = repository.write_tree({"solve.py": TreeFile(program)})
    twin = novelty(repository).twin(tree, history.attempts)
    assert twin is not None
    assert twin.attempt == "0"
    assert novelty(repository, normalised=False).twin(tree, history.attempts) is None


@pytest.mark.parametrize(
    "files",
    [
        {"solve.py": PROGRAM.replace(b"2.0", b"2.5")},
        {"solve.py": PROGRAM + b"def (:"},
        {"solve.py": PROGRAM, "notes.txt": b""},
        {"solve.txt": PROGRAM},
    ],
)
def test_what_can_matter_is_new(repository: Repository, files: dict[str, bytes]) -> None:
    history = History(repository)
    history.add(PROGRAM)
    tree = repository.write_tree({path: TreeFile(data) for path, data in files.items()})
    assert novelty(repository).twin(tree, history.attempts) is None


def test_an_equal_tree_is_left_to_the_store_and_a_dropped_attempt_is_no_twin(
    repository: Repository,
) -> None:
    history = History(repository)
    first = history.add(PROGRAM)
    assert novelty(repository).twin(first.tree, history.attempts) is None
    again = repository.write_tree({"solve.py": TreeFile(PROGRAM + b"# more\n")})
    assert novelty(repository).twin(again, history.attempts) is not None
    dropped = [replace(first, status=Status.CANCELLED)]
    assert novelty(repository).twin(again, dropped) is None


def test_the_embedder_finds_what_is_nearly_the_same_text(repository: Repository) -> None:
    history = History(repository)
    history.add(PROGRAM * 5)
    near = repository.write_tree({"solve.py": TreeFile(PROGRAM * 5 + b"MORE = 1\n")})
    far = repository.write_tree({"solve.py": TreeFile(b"class Tree:\n    height = 3\n")})
    strict = novelty(repository, similarity=0.9)
    assert strict.twin(near, history.attempts) is not None
    assert strict.twin(far, history.attempts) is None
    assert novelty(repository).twin(near, history.attempts) is None


@given(st.dictionaries(st.sampled_from(["a.py", "b.py", "c"]), st.binary(max_size=40), max_size=3))
def test_any_bytes_have_a_fingerprint_and_equal_trees_have_the_same(
    files: dict[str, bytes],
) -> None:
    trees = [{path: TreeFile(data) for path, data in files.items()} for _ in range(2)]
    assert fingerprint(trees[0]) == fingerprint(trees[1])


def test_deleted_lines_that_come_back_are_found_along_the_line_of_descent(
    repository: Repository,
) -> None:
    history = History(repository)
    step = b"step = 0.125\n"
    history.add(PROGRAM + step)
    history.add(PROGRAM, 0)
    history.add(PROGRAM + b"other = 17\n", 1)
    history.add(PROGRAM + b"    " + step, 2)
    history.add(PROGRAM + step, 1)
    history.add(PROGRAM + step + b"other = 17\n", 0)
    found = revivals(history.attempts, repository)
    lines = [("solve.py", "step = 0.125")]
    assert [tuple(each) for each in found] == [("3", "1", lines), ("4", "1", lines)]
