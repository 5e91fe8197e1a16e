"""The `pipeline` agent and answers that cannot be used, at every question."""

from pathlib import Path

import pytest
from tests.unit.agents.pipelined import PLAN, SEED, Model, play, setting, whole

from harness.attempt import Operator
from harness.errors import ContextTooLongError
from harness.sandbox.base import SandboxProvider
from harness.testing.endpoint import Reply, Request, empty_choices, refusal, text

pytestmark = pytest.mark.slow


async def test_without_a_plan_the_directive_ends(tmp_path: Path, provider: SandboxProvider) -> None:
    model = Model(plan="<think>what shall I", change_the_files=setting(2))
    played = await play(tmp_path / "run", provider, model)
    assert model.asked == ["plan", "plan"]
    assert "there is no `Title:` line" in model.said("plan")
    assert played.stages("finish") == [
        "the directive ends without a submission: the model gave no plan"
    ]


async def test_a_plan_without_form_is_used_after_one_reminder(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(plan="Let me make it two.", change_the_files=setting(2))
    played = await play(tmp_path / "run", provider, model)
    assert model.asked[:3] == ["plan", "plan", "change_the_files"]
    best = played.context.graph.best
    assert best is not None
    assert (best.title, best.score) == ("Let me make it two.", 2.0)


@pytest.mark.parametrize(
    ("stage", "answer", "questions"),
    [
        ("review", "Well, well.", 2),
        ("review", "Verdict: FIX\n" + setting(3, old=7), 2),
        ("review", "Verdict: FIX\n<<<<<<< SEARCH\nx\n", 2),
        ("analyse", "word " * 1000, 2),
        ("analyse", "", 2),
    ],
)
async def test_an_unusable_review_or_analysis_costs_no_attempt(
    stage: str, answer: str, questions: int, tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=setting(2), **{stage: answer})
    played = await play(tmp_path / "run", provider, model)
    assert model.asked.count(stage) == questions
    assert played.scores == [2.0]
    assert len(played.context.notes) == (stage != "analyse")


async def test_an_unusable_refinement_leaves_the_plan_as_it_was(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=[setting(2), setting(3, old=2)], refine_the_plan="Hm.")
    played = await play(tmp_path / "run", provider, model, operators=[Operator.IMPROVE] * 2)
    assert model.asked.count("refine_the_plan") == 2
    assert played.scores == [2.0, 3.0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("```solve.py\nVALUE = 2\n", "cut off"),
        ("```solve.py\nVALUE = 2\n# ... the rest is unchanged\n```", "left out"),
        ("```python\nVALUE = 2\n```\n```python\nVALUE = 3\n```", "which file"),
        ("```/etc/solve.py\nVALUE = 2\n```", "cannot be written"),
        ("```notes.txt\nVALUE = 2\n```", "would not be submitted"),
        ("VALUE = 2", "no fenced block"),
    ],
)
async def test_files_that_cannot_be_used_are_sent_back(
    answer: str, why: str, tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(write_the_files=[answer, whole(2)])
    played = await play(tmp_path / "run", provider, model, operators=[Operator.DRAFT])
    assert why in model.said("write_the_files")
    assert played.scores == [2.0]


async def test_an_answer_cut_off_between_blocks_is_not_applied(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    cut = text(setting(2))
    cut.body["choices"][0]["finish_reason"] = "length"
    model = Model(change_the_files=[cut, setting(3)])
    played = await play(tmp_path / "run", provider, model)
    assert "cut off at the length limit" in model.said("change_the_files")
    assert played.scores == [3.0]


async def test_an_empty_answer_of_the_endpoint_is_asked_for_again(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(plan=[empty_choices(), PLAN], change_the_files=setting(2))
    played = await play(tmp_path / "run", provider, model)
    assert played.scores == [2.0]
    assert len(played.context.usage) == 5, "what was billed counts"


async def test_model_calls_of_a_directive_are_bounded(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=setting(2))
    played = await play(tmp_path / "run", provider, model, max_turns=2)
    assert model.asked == ["plan", "change_the_files"]
    assert played.scores == [2.0], "what is there is checked and submitted"
    model = Model(change_the_files="no")
    played = await play(tmp_path / "other", provider, model, max_turns=2)
    assert (len(model.asked), played.scores) == (2, [])


async def test_a_question_that_is_too_long_is_asked_shorter(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    large = SEED | {"long.py": b"a = 1\n" * 5000}
    model = Model(change_the_files=[setting(2), setting(3, old=2)])

    def small(request: Request) -> Reply:
        size = sum(len(str(message["content"])) for message in request.messages)
        if size > 12_000:
            tokens = f"maximum context length is 4000 tokens, you requested {size // 3} tokens"
            return refusal(400, f"This model's {tokens}. Please reduce the length.")
        return model(request)

    played = await play(
        tmp_path / "run", provider, small, seed=large, operators=[Operator.IMPROVE] * 2
    )
    assert played.scores == [2.0, 3.0]
    assert "VALUE = 1" in model.said("change_the_files", 0), "the planned file comes first"
    assert "Not shown: long.py (30000 characters)" in model.said("change_the_files", 0)


async def test_a_task_that_never_fits_is_an_error(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    message = "This model's maximum context length is 10 tokens, you requested 999 tokens."
    with pytest.raises(ContextTooLongError):
        await play(tmp_path / "run", provider, lambda _: refusal(400, message))


async def test_a_file_that_is_not_seen_whole_is_not_written_whole(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    long = {"solve.py": SEED["solve.py"] + b"# and so on\n" * 2000}
    model = Model(change_the_files="no", write_the_files=whole(2))
    played = await play(tmp_path / "run", provider, model, seed=long, context_tokens=4096)
    assert "characters left out" in model.said("plan")
    assert model.asked == ["plan", *["change_the_files"] * 3]
    assert played.scores == []
    model = Model(change_the_files=setting(2))
    played = await play(tmp_path / "other", provider, model, seed=long, context_tokens=4096)
    assert played.scores == [2.0]
    assert (await played.best_files())["solve.py"].endswith(b"# and so on\n" * 2000)
