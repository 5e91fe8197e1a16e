"""The `pipeline` agent: whole directives and the coding modes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.agents.pipelined import TWO, Model, play, setting, value_score, whole

from harness.attempt import Operator, Verdict
from harness.sandbox.base import SandboxProvider
from harness.testing.pipeline_behaviour import block


async def test_a_directive_goes_through_all_steps(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=[setting(2), setting(3, old=2)])
    played = await play(tmp_path / "run", provider, model, operators=[Operator.IMPROVE] * 2)
    first = ["plan", "change_the_files", "review", "analyse"]
    assert model.asked == [*first, "plan", "refine_the_plan", *first[1:]]
    assert played.scores == [2.0, 3.0]
    assert played.checks == [True, True]
    assert [note.text for note in played.context.notes] == [
        "larger is better.\n(attempt 1: score 2, better than its base 0 (1))",
        "larger is better.\n(attempt 2: score 3, better than its base 1 (2))",
    ]
    attempt = played.context.graph.best
    assert attempt is not None
    assert attempt.title == "a larger value"
    assert attempt.detail == {"tried": ["diff"], "repairs": 0, "calls": 4}
    assert "Make the number larger" in str(model.requests["plan"][0].messages[0]["content"])
    assert "VALUE = 1" in model.said("plan", 0)
    assert "-VALUE = 1\n+VALUE = 2" in model.said("review", 0)
    assert "Score: 2" in model.said("analyse", 0)
    # The second plan is told what came of the first; the memory, only after it was made.
    assert "“a larger value”: attempt 1: score 2, better" in model.said("plan", 1)
    assert "| a larger value" not in model.said("plan", 1)
    assert "| a larger value" in model.said("refine_the_plan")
    assert all("tools" not in request.body for request in model.requests["plan"])


@pytest.mark.parametrize(
    ("answer", "doubt"),
    [
        ("Reported: 0.2501\nFinding: larger is better.", ""),
        ("Reported: none\nFinding: larger is better.", ""),
        (
            "Reported: 0.9\nFinding: larger is better.",
            " (In doubt: the evaluator read 0.25 as its own validation, the model 0.9.)",
        ),
    ],
)
async def test_what_a_program_says_of_its_own_validation_is_read_twice(
    answer: str, doubt: str, tmp_path: Path, provider: SandboxProvider
) -> None:
    def score(files: Mapping[str, bytes]) -> Verdict:
        return replace(value_score(files), metrics={"own_validation": 0.25})

    model = Model(change_the_files=setting(2), analyse=answer)
    played = await play(
        tmp_path / "run", provider, model, operators=[Operator.IMPROVE], score=score
    )
    (note,) = played.context.notes
    assert note.text.splitlines()[0] == f"larger is better.{doubt}"


async def test_a_crash_is_repaired_before_an_evaluation_is_spent(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=[setting("two"), setting("1 / 0", old="two"),
                                    setting(4, old="1 / 0")])  # fmt: skip
    played = await play(tmp_path / "run", provider, model)
    assert played.checks == [False, False, True]
    assert "NameError" in model.said("change_the_files", 1)
    assert "ZeroDivisionError" in model.said("change_the_files", 2)
    assert played.scores == [4.0]
    assert model.asked.count("review") == 1


@pytest.mark.slow
async def test_a_draft_of_one_file_is_written_whole(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(write_the_files=whole(5))
    played = await play(tmp_path / "run", provider, model, operators=[Operator.DRAFT])
    assert model.asked == ["plan", "write_the_files", "review", "analyse"]
    assert played.scores == [5.0]
    assert "Write `solve.py`." in model.said("write_the_files")


MODULES = (
    "Title: two parts\nIdea: split it.\nFiles:\n"
    "- lib/value.py: defines `number()`\n- solve.py: writes it\n- other.py: unused"
)


async def test_a_draft_of_several_modules_is_written_step_by_step(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    joined = "```solve.py\nfrom lib.value import VALUE\nopen('x.txt', 'w').write(str(VALUE))\n```"
    model = Model(
        plan=MODULES,
        write_a_module=["```lib/value.py\nVALUE = 6\n```", "```python\nunused = 1\n```"],
        join_the_modules=joined,
    )
    played = await play(tmp_path / "run", provider, model, operators=[Operator.DRAFT])
    assert model.asked == [
        "plan", "write_a_module", "write_a_module", "join_the_modules", "review", "analyse",
    ]  # fmt: skip
    assert "Write only `lib/value.py`" in model.said("write_a_module", 0)
    assert "lib/value.py: defines `number()` (written)" in model.said("write_a_module", 1)
    assert "VALUE = 6" in model.said("join_the_modules")
    assert played.scores == [6.0]
    files = await played.best_files()
    assert sorted(files) == ["lib/value.py", "other.py", "solve.py"]


@pytest.mark.slow
async def test_modules_that_cannot_be_read_are_written_as_whole_files(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(plan=MODULES, write_a_module="I cannot.", write_the_files=whole(4))
    played = await play(tmp_path / "run", provider, model, operators=[Operator.DRAFT])
    assert model.asked.count("write_a_module") == 2
    assert played.scores == [4.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "operator", [Operator.IMPROVE, Operator.TUNE, Operator.EVOLVE, Operator.DEBUG, Operator.FUSE]
)
async def test_other_operators_change_the_base_by_blocks(
    operator: Operator, tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=setting(2))
    played = await play(tmp_path / "run", provider, model, operators=[operator])
    assert model.asked == ["plan", "change_the_files", "review", "analyse"]
    assert played.scores == [2.0]


@pytest.mark.slow
async def test_a_block_that_does_not_match_comes_back_with_the_nearest_text(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=[setting(2, old=7), setting(2)])
    played = await play(tmp_path / "run", provider, model)
    assert played.scores == [2.0]
    answered, complaint = model.requests["change_the_files"][1].messages[-2:]
    assert answered["content"] == setting(2, old=7).strip()
    assert "nothing was applied" in complaint["content"]
    assert "VALUE = 1" in complaint["content"]
    assert "<<<<<<< SEARCH path/of/a_file.py" in complaint["content"]


async def test_without_a_block_that_applies_the_file_is_rewritten(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=setting(2, old=7), write_the_files=whole(9))
    played = await play(tmp_path / "run", provider, model)
    assert model.asked.count("change_the_files") == 3
    assert played.scores == [9.0]


async def test_the_unchanged_parent_is_never_submitted(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=setting(2, old=7), write_the_files=whole(1))
    played = await play(tmp_path / "run", provider, model)
    assert played.scores == []
    assert played.checks == []
    assert "nothing would change" in model.said("write_the_files")
    (ended,) = played.stages("finish")
    assert "ends without a submission" in ended
    assert played.context.notes == []


@pytest.mark.slow
async def test_files_of_which_all_blocks_apply_are_kept(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    right, wrong = setting(2), block("b.py", ["B = 5"], ["B = 2"])
    again = block("b.py", ["B = 1"], ["B = 2"])
    model = Model(change_the_files=[f"{right}\n{wrong}", again])
    played = await play(tmp_path / "run", provider, model, seed=TWO)
    assert "`solve.py` changed as you wrote" in model.said("change_the_files")
    assert played.scores == [2.0]
    files = await played.best_files()
    assert files["b.py"] == b"B = 2\n"


@pytest.mark.slow
async def test_what_did_not_apply_in_the_end_is_told_to_the_reviewer(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    both = f"{setting(2)}\n{block('b.py', ['B = 5'], ['B = 2'])}"
    model = Model(change_the_files=[both, "no"], write_the_files="no")
    played = await play(tmp_path / "run", provider, model, seed=TWO)
    assert "These blocks did not apply" in model.said("review")
    assert "B = 1" in model.said("review"), "the nearest text"
    assert played.scores == [2.0]


@pytest.mark.slow
async def test_after_two_directives_without_a_block_the_files_are_written_whole(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files="no", write_the_files=[whole(n) for n in (2, 3, 4, 5)])
    played = await play(tmp_path / "run", provider, model, operators=[Operator.IMPROVE] * 4)
    assert played.scores == [2.0, 3.0, 4.0, 5.0]
    modes = [mode.split()[-1] for mode in played.stages("choose")]
    assert modes == ["diff", "diff", "full", "diff"]
