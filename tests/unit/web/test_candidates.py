"""What a client sends becomes a tree by the rules that hold for agents."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SubmissionRefusedError, TaskError
from harness.sandbox.placing import place
from harness.sandbox.scan import scan
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.tasks.loader import load_task
from harness.testing.evaluator import write_task
from harness.web.evaluator.candidates import Candidates


def write_rules(folder: Path, **submission: Any) -> Task:
    """The task in `folder` with another section `submission`."""
    path = folder / "task.yaml"
    file = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**file, "submission": submission}), encoding="utf-8")
    return load_task(folder)


@pytest.fixture
def several(tmp_path: Path) -> Candidates:
    """A task of three files, one executable and one that is no text."""
    write_task(tmp_path)
    seed = tmp_path / "seed"
    (seed / "lib").mkdir()
    (seed / "lib" / "run.sh").write_text("exit 0\n", encoding="utf-8")
    (seed / "lib" / "run.sh").chmod(0o755)
    (seed / "table.bin").write_bytes(b"\xff\x00")
    (seed / "notes.txt").write_text("not submitted", encoding="utf-8")
    include = ["*.py", "lib/**", "*.bin"]
    return Candidates(write_rules(tmp_path, include=include, exclude=["lib/old"]))


def test_a_text_stands_for_the_only_file(tmp_path: Path) -> None:
    candidates = Candidates(write_task(tmp_path))
    assert candidates.seed == (tmp_path / "seed" / "solve.py").read_text(encoding="utf-8")
    assert candidates.tree("x = 'ä'") == {"solve.py": TreeFile("x = 'ä'".encode())}
    assert candidates.tree({"solve.py": "1"}) == candidates.tree("1")


def test_texts_are_laid_over_the_seed(several: Candidates) -> None:
    tree = several.tree({"lib/run.sh": "exit 1\n", "lib/new/a.py": "1"})
    assert list(tree) == ["lib/new/a.py", "lib/run.sh", "solve.py", "table.bin"]
    assert tree["lib/run.sh"] == TreeFile(b"exit 1\n", executable=True)
    assert tree["lib/new/a.py"] == TreeFile(b"1", executable=False)
    assert tree["table.bin"].data == b"\xff\x00"


def test_the_seed_is_shown_as_it_can_be_sent(several: Candidates) -> None:
    assert isinstance(several.seed, dict)
    assert sorted(several.seed) == ["lib/run.sh", "solve.py"]
    assert several.paths == ["lib/run.sh", "solve.py", "table.bin"]
    assert several.tree(dict(several.seed)) == several.tree({"solve.py": several.seed["solve.py"]})


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        ("1", "has several files"),
        (None, "must be a text, or an object"),
        ([], "must be a text, or an object"),
        ({}, "with at least one"),
        ({"solve.py": 1}, "'solve.py' must be a text"),
        ({"solve.py": None}, "'solve.py' must be a text"),
        ({"notes.txt": ""}, "'notes.txt' is not part of a submission: \\*.py, lib/\\*\\*, "),
        ({"evaluator/judge.txt": ""}, "is not part of a submission"),
        ({"lib/old/a.py": ""}, "without lib/old is"),
        ({"__pycache__/a.py": ""}, "is not part of a submission"),
        ({".git/hooks/a.py": ""}, "git keeps such names"),
        ({"../a.py": ""}, "'..' is not a name"),
        ({"/etc/a.py": ""}, "'' is not a name"),
        ({"lib//a.py": ""}, "'' is not a name"),
        ({"": ""}, "'' is not a name"),
        ({"a\x00.py": ""}, "control or invisible"),
        ({"\ud800.py": ""}, "not UTF-8"),
        ({"a.py": "\ud800"}, "half a surrogate pair"),
        ({"solve.py/a.py": ""}, "'solve.py' is both a file and a folder"),
        ({"lib": "x"}, "'lib' is both a file and a folder"),
        ({"a.py": "", "a.py/b.py": ""}, "'a.py' is both a file and a folder"),
        ({"/".join("a" * 40) + ".py": ""}, "folders deep"),
    ],
)
def test_what_an_agent_could_not_submit_is_refused(
    several: Candidates, candidate: Any, why: str
) -> None:
    with pytest.raises(SubmissionRefusedError, match=why):
        several.tree(candidate)


def test_the_whole_tree_is_bounded(tmp_path: Path) -> None:
    write_task(tmp_path)
    candidates = Candidates(write_rules(tmp_path, include=["*.py"], max_bytes=200, max_files=2))
    assert len(candidates.tree({"a.py": "x" * 100})) == 2
    with pytest.raises(SubmissionRefusedError, match="more than 200 bytes"):
        candidates.tree({"a.py": "x" * 200})
    with pytest.raises(SubmissionRefusedError, match="more than 2 files"):
        candidates.tree({"a.py": "", "b.py": ""})


def test_a_seed_that_cannot_be_submitted_is_the_tasks_fault(tmp_path: Path) -> None:
    write_task(tmp_path)
    with pytest.raises(TaskError, match="the seed cannot be submitted"):
        Candidates(write_rules(tmp_path, include=["*.nothing"]))


NAMES = st.sampled_from(["a.py", "lib", "b.py", "..", ".", "", "solve.py", "\u200b.py", "x\\y.py"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(sent=st.dictionaries(PATHS, st.text(max_size=5), min_size=1, max_size=4))
def test_what_is_accepted_is_what_a_scan_of_it_finds(
    tmp_path_factory: pytest.TempPathFactory, sent: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("candidate")
    write_task(folder / "task")
    candidates = Candidates(write_rules(folder / "task", include=["*.py"]))
    try:
        tree = candidates.tree(dict(sent))
    except SubmissionRefusedError:
        return
    (folder / "tree").mkdir()
    place(folder / "tree", tree)
    assert scan(folder / "tree", candidates.rules) == tree
