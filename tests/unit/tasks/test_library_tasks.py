"""What every task of the library must hold: seed, cheats, honest submissions, references."""

import importlib.util
import json
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness.tasks
from harness.attempt import better
from harness.tasks.base import TaskFile
from harness.tasks.evaluation import AnswerSpec, ServeSpec

Judge = Callable[[Path, Path, int], dict[str, Any]]

LIBRARY = Path(harness.tasks.__file__).parent / "library"
SEED_SCORES = {
    "autocorrelation_first": (1.9, 2.1),
    "circle_packing": (0.9, 1.3),
    "erdos_min_overlap": (0.48, 0.5),
    "heilbronn_triangle": (0.003, 0.006),
    "sort_kernel": (129.0, 131.0),
}
CASES = [
    pytest.param(task, folder, id=f"{task}-{folder.parent.name}-{folder.name}")
    for task in SEED_SCORES
    for kind in ("cheats", "honest")
    for folder in sorted((LIBRARY / task / kind).iterdir())
]


def task_file(task: str) -> TaskFile:
    text = (LIBRARY / task / "task.yaml").read_text(encoding="utf-8")
    return TaskFile.model_validate(yaml.safe_load(text))


def answer_spec(task: str) -> AnswerSpec:
    spec = task_file(task).evaluator
    assert isinstance(spec, AnswerSpec)
    return spec


def load_judge(task: str) -> Judge:
    """The judge as the evaluator gets it: one file, imported by path, nothing else in reach."""
    name, _, function = answer_spec(task).judge.partition(":")
    path = LIBRARY / task / "evaluator" / name
    spec = importlib.util.spec_from_file_location(f"{task}_judge", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    judge: Judge = getattr(module, function)
    return judge


def run_and_judge(task: str, submission: Path, work: Path) -> dict[str, Any]:
    """Run the task's command on the submission laid over the seed, without packages; judge it."""
    evaluator = task_file(task).evaluator
    for folder in (LIBRARY / task / "seed", submission):
        shutil.copytree(folder, work, dirs_exist_ok=True)
    assert evaluator.command[0] == "python"
    command = [sys.executable, "-E", "-S", *evaluator.command[1:]]
    subprocess.run(command, cwd=work, timeout=30, capture_output=True, check=True)
    private = work / "private"
    return load_judge(task)(work, private, 0)


@pytest.fixture(scope="module")
def seed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a folder for each task in which its seed has run."""
    return tmp_path_factory.mktemp("seeds")


@pytest.fixture(scope="module")
def seed_scores(seed_folder: Path) -> dict[str, float]:
    return {
        task: run_and_judge(task, LIBRARY / task / "seed", seed_folder / task)["score"]
        for task in SEED_SCORES
    }


def blind_change(document: list[Any], rng: random.Random) -> list[Any]:
    """The table with one number scaled or, as often, one row left out."""
    changed: list[Any] = json.loads(json.dumps(document))
    index = rng.randrange(len(changed))
    if rng.random() < 0.5:
        del changed[index]
    elif isinstance(changed[index], float):
        changed[index] *= rng.gauss(1, 0.2)
    else:
        cell = rng.randrange(len(changed[index]))
        if isinstance(changed[index][cell], float):
            changed[index][cell] *= rng.gauss(1, 0.2)
    return changed


SERVED = ("bin_packing", "cpu_kernel", "gpu_kernel")
"""Called by their judges: only sandboxes can score them, which `task check` does."""


def test_the_library_holds_these_tasks() -> None:
    found = {path.parent.name for path in LIBRARY.glob("*/task.yaml")}
    assert found == {*SEED_SCORES, *SERVED}
    assert {task for task in found if isinstance(task_file(task).evaluator, ServeSpec)} == {*SERVED}


@pytest.mark.parametrize("task", SEED_SCORES)
def test_the_task_file_is_valid_and_complete(task: str) -> None:
    file = task_file(task)
    assert file.name == task
    assert file.baseline is not None
    assert file.best_known is not None
    assert better(file.direction, file.best_known.value, file.baseline.value)
    for output in answer_spec(task).outputs:
        assert output in file.description
    assert file.evaluator.command[1] in file.description


@pytest.mark.parametrize("task", SEED_SCORES)
def test_the_seed_scores_in_its_range_and_below_the_references(
    task: str, seed_scores: dict[str, float]
) -> None:
    low, high = SEED_SCORES[task]
    score = seed_scores[task]
    assert low < score < high
    file = task_file(task)
    assert file.baseline is not None
    assert better(file.direction, file.baseline.value, score)


@pytest.mark.parametrize("task", SEED_SCORES)
def test_blind_changes_of_the_seed_s_table_improve_it_and_others_do_not(
    task: str, tmp_path: Path, seed_folder: Path, seed_scores: dict[str, float]
) -> None:
    file, judge, rng = task_file(task), load_judge(task), random.Random(0)
    output = answer_spec(task).outputs[0]
    document = json.loads((seed_folder / task / output).read_text(encoding="utf-8"))
    improved = 0
    for _ in range(60):
        changed = json.dumps(blind_change(document, rng))
        (tmp_path / output).write_text(changed, encoding="utf-8")
        score = judge(tmp_path, tmp_path, 0)["score"]
        improved += score is not None and better(file.direction, score, seed_scores[task])
    assert 2 <= improved < 60


@pytest.mark.parametrize(("task", "folder"), CASES)
def test_cheats_do_not_score_and_honest_submissions_beat_the_seed(
    task: str, folder: Path, tmp_path: Path, seed_scores: dict[str, float]
) -> None:
    answer = run_and_judge(task, folder, tmp_path / "work")
    assert set(answer) == {"score", "metrics", "feedback"}
    if folder.parent.name == "cheats":
        assert answer["score"] is None
        assert answer["metrics"] == {}
        assert answer["feedback"]
    else:
        file = task_file(task)
        assert file.best_known is not None
        assert better(file.direction, answer["score"], seed_scores[task])
        assert not better(file.direction, answer["score"], file.best_known.value)
        assert all(math.isfinite(value) for value in answer["metrics"].values())
        json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize("task", [*SEED_SCORES, *SERVED])
def test_every_task_has_cheats_and_an_honest_submission(task: str) -> None:
    assert len(list((LIBRARY / task / "cheats").iterdir())) >= 3
    assert list((LIBRARY / task / "honest").iterdir())
