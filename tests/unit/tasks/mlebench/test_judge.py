"""Verdicts of a competition's task: the first stage on a sample, and what is marked."""

import csv
from collections.abc import Mapping

import pytest

from harness.agents.prompts.check import check_prompts
from harness.agents.prompts.templates import render
from harness.attempt import Status, Verdict
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.open import open_evaluator
from harness.sandbox.config import SandboxConfig
from harness.tasks.base import Task
from harness.tasks.loader import load_task
from harness.tasks.mlebench.layout import Competition
from harness.tasks.mlebench.native import native_task
from harness.tasks.mlebench.sampling import WORTH_IT
from harness.testing.evaluator import job

WRITE = """
import csv, sys
from pathlib import Path
data = Path(sys.argv[1])
train = list(csv.DictReader(open(data / "train.csv")))
test = list(csv.DictReader(open(data / "test.csv")))
with open("submission.csv", "w", newline="") as file:
    csv.writer(file).writerows([("id", "y"), *((row["id"], guess(row)) for row in test)])
"""
HONEST = "def guess(row): return int(row['x']) % 100 + 1\n" + WRITE
"""Off by one, so with an error of 1 in each row."""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Numbers of which the answer is the last two digits, enough of them for a sample."""
    folder = tmp_path_factory.mktemp("competition")
    public = folder / "c" / "prepared" / "public"
    public.mkdir(parents=True)
    tables: Mapping[str, list[list[object]]] = {
        "train.csv": [["id", "x", "y"], *([f"a{i}", i, i % 100] for i in range(2 * WORTH_IT))],
        "test.csv": [["id", "x"], *([f"b{i}", i] for i in range(10))],
        "sample.csv": [["id", "y"], *([f"b{i}", 0] for i in range(10))],
    }
    for name, rows in tables.items():
        with (public / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    config = {
        "dataset": {"sample_submission": "c/prepared/public/sample.csv"},
        "grader": {"name": "rmse"},
    }
    return load_task(native_task(Competition("c", folder, config, None)).folder)


async def _verdict(task: Task, source: str, more: Mapping[str, str] | None = None) -> Verdict:
    sandbox = SandboxConfig(provider="process")
    async with open_evaluator(task, sandbox, EvaluatorConfig()) as opened:
        return await opened.pool.evaluate(job(source, more))


async def test_a_program_that_crashes_on_the_sample_goes_no_further(task: Task) -> None:
    verdict = await _verdict(task, HONEST + f"assert len(train) > {WORTH_IT}, len(train)\n")
    assert verdict.status is Status.FAILED
    assert [stage.name for stage in verdict.stages] == ["sample: produce"]
    wrong = await _verdict(task, HONEST.replace('("id", "y"),', '("id", "z"),'))
    assert wrong.status is Status.INVALID
    assert "invalid submission for the sample: the columns must be: id, y" in wrong.feedback


async def test_an_honest_program_is_scored_and_its_own_validation_compared(task: Task) -> None:
    verdict = await _verdict(task, HONEST + "print('validation score: 1.5')\n")
    assert verdict.score == pytest.approx(1.0)
    names = ["sample: produce", "sample: judge", "produce", "judge"]
    assert [stage.name for stage in verdict.stages] == names
    assert verdict.metrics == pytest.approx({"own_validation": 1.5, "optimism": -0.5, "error": 0.0})
    assert "own validation 1.5, hidden 1 with an error of" in verdict.feedback
    silent = await _verdict(task, HONEST)
    assert silent.metrics == {}
    assert "printed no `validation score: NUMBER`" in silent.feedback


async def test_what_is_suspicious_is_marked_and_scored_all_the_same(task: Task) -> None:
    noisy = HONEST.replace("+ 1", "+ int(row['x']) % 7") + "print('validation score: 0.01')\n"
    assert task.private is not None
    ids = [line.split(",")[0] for line in (task.private / "answers.csv").read_text().split()[1:]]
    table = {"by_heart.txt": "\n".join(ids[: len(ids) // 10]), "notes.md": "see answers.csv"}
    verdict = await _verdict(task, noisy, table)
    assert verdict.status is Status.SCORED
    marks = {name for name in verdict.metrics if name.startswith("mark_")}
    assert marks == {"mark_gap", "mark_test_ids", "mark_reads"}
    assert "its own validation is better than the hidden one by" in verdict.feedback
    assert "most in by_heart.txt" in verdict.feedback
    assert "notes.md names answers.csv" in verdict.feedback
    assert not any(each in verdict.feedback for each in ids), "an id of the test is told"


def test_agents_are_asked_in_the_words_of_competitions(task: Task) -> None:
    prompts = (task.folder / "prompts",)
    check_prompts(prompts)
    asked = render(prompts, "pipeline_operator", operator="fuse")
    assert "out-of-fold predictions" in asked
    assert asked == render(prompts, "operator_fuse")
    assert asked != render((), "operator_fuse")
    assert "Reported: NUMBER, or none" in render(prompts, "pipeline_form_finding")
