"""The `pipeline` agent: review, check and repair."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.agents.pipelined import SLEEPS, TASK, TWO, Model, play, setting, value_score

from harness.agents.pipeline.worker import MAX_REPAIRS
from harness.attempt import Operator, Status, Verdict
from harness.sandbox.base import SandboxProvider
from harness.testing.pipeline_behaviour import block

pytestmark = pytest.mark.slow


async def test_a_reviewer_corrects_by_blocks(tmp_path: Path, provider: SandboxProvider) -> None:
    fix = "Verdict: FIX\nToo small.\n" + setting(8, old=2)
    model = Model(change_the_files=setting(2), review=fix)
    played = await play(tmp_path / "run", provider, model)
    assert model.asked == ["plan", "change_the_files", "review", "analyse"]
    assert played.scores == [8.0]


async def test_a_reviewers_words_go_back_to_the_coder(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(
        change_the_files=[setting(2), setting(7, old=2)], review="Verdict: FIX\nTwo is too small."
    )
    played = await play(tmp_path / "run", provider, model)
    assert model.asked == ["plan", "change_the_files", "review", "change_the_files", "analyse"]
    assert "Two is too small." in model.said("change_the_files")
    assert played.scores == [7.0]


async def test_a_missing_output_is_found_by_the_check(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    other = block("solve.py", ["open('x.txt', 'w').write(str(VALUE))"], ["print('VALUE')"])
    back = block("solve.py", ["print('VALUE')"], ["VALUE = 3; open('x.txt', 'w').write('3')"])
    model = Model(change_the_files=[other, back])
    played = await play(tmp_path / "run", provider, model)
    assert "missing output: x.txt" in model.said("change_the_files")
    assert played.checks == [False, True]


async def test_repairs_are_bounded_and_what_was_learnt_is_noted(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    worse = [setting(f"v{n + 1}", old=f"v{n}") for n in range(1, 9)]
    model = Model(change_the_files=[setting("v1"), *worse])
    played = await play(tmp_path / "run", provider, model)
    assert played.checks == [False] * (MAX_REPAIRS + 1)
    assert played.scores == []
    (note,) = played.context.notes
    assert "still did not work" in note.text
    assert "ends without a submission" in played.stages("finish")[0]


async def test_a_repair_that_cannot_be_read_ends_without_a_submission(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=[setting("two"), "no"], write_the_files="no")
    played = await play(tmp_path / "run", provider, model)
    assert played.scores == []
    assert len(played.context.notes) == 1


async def test_slow_is_not_broken(tmp_path: Path, provider: SandboxProvider) -> None:
    model = Model(change_the_files=SLEEPS)
    long = replace(TASK, timeout_s=1000.0)
    played = await play(tmp_path / "run", provider, model, task=long, command_timeout_s=0.5)
    assert played.checks == [True]
    assert played.scores == [2.0]


async def test_beyond_the_evaluations_limit_is(tmp_path: Path, provider: SandboxProvider) -> None:
    quick = block("solve.py", ["import time; time.sleep(600)"], [])
    model = Model(change_the_files=[SLEEPS, quick])
    short = replace(TASK, timeout_s=1.0)
    played = await play(tmp_path / "run", provider, model, task=short)
    assert "the evaluation's limit" in model.said("change_the_files")
    assert played.checks == [False, True]


async def test_a_repaired_file_leaves_nothing_else_behind(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    """A base's file that a repair gives back is the base's again in the workspace."""
    both = f"{setting(2)}\n{block('b.py', ['B = 1'], ['B = 1 / 0'])}"
    uses = block("solve.py", ["import sys"], ["import b"])
    back = block("b.py", ["B = 1 / 0"], ["B = 1"])
    model = Model(change_the_files=[f"{uses}\n{both}", back])
    played = await play(tmp_path / "run", provider, model, seed=TWO)
    assert played.checks == [False, True]
    files = await played.best_files()
    assert files["b.py"] == TWO["b.py"]


async def test_a_duplicate_is_not_analysed(tmp_path: Path, provider: SandboxProvider) -> None:
    def worse(files: Mapping[str, bytes]) -> Verdict:
        return Verdict(Status.SCORED, -abs((value_score(files).score or 0) - 1))

    model = Model(change_the_files=setting(2))
    played = await play(
        tmp_path / "run", provider, model, operators=[Operator.IMPROVE] * 2, score=worse
    )
    assert model.asked.count("analyse") == 1
    assert list(played.context.graph)[2].status is Status.DUPLICATE
    assert len(played.context.notes) == 1
