"""The `pipeline` agent: the real client over real HTTP, a real sandbox, a real repository."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.agents.base import AgentConfig, ModelConfig, TaskView
from harness.agents.heartbeats.base import Intervention
from harness.agents.pipeline.agent import PipelineAgent
from harness.agents.pipeline.worker import MAX_REPAIRS
from harness.attempt import Operator, Status, Verdict
from harness.errors import BudgetExhaustedError, ConfigurationError
from harness.ids import RecordId
from harness.memory.base import MemoryRecord, Recalled, RecordKind
from harness.sandbox.base import ExecResult, SandboxProvider
from harness.testing.context import DEFAULT_TASK, LocalContext, open_context
from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, empty_choices, text
from harness.testing.pipeline_behaviour import asked, block, question

SEED = {"solve.py": b"import sys\n\nVALUE = 1\n\nopen('x.txt', 'w').write(str(VALUE))\n"}
TASK = replace(
    DEFAULT_TASK,
    description="Make the number larger that `solve.py` writes to `x.txt`.",
    produce=("python3", "solve.py"),
    submission=("*.py",),
)
PLAN = "Title: a larger value\nIdea: more is better.\nFiles:\n- solve.py: the value"
OK = "Verdict: OK"
FINDING = "Finding: larger is better."


def value_score(files: Mapping[str, bytes]) -> Verdict:
    """The number after `VALUE =` in any of the files."""
    for data in files.values():
        for line in data.decode().splitlines():
            if line.startswith("VALUE ="):
                return Verdict(Status.SCORED, float(line.removeprefix("VALUE =")))
    return Verdict(Status.INVALID, feedback="no VALUE")


def setting(value: object, old: object = 1) -> str:
    """A block that sets the value."""
    return block("solve.py", [f"VALUE = {old}"], [f"VALUE = {value}"])


def whole(value: object, path: str = "solve.py") -> str:
    """The file, whole."""
    body = SEED["solve.py"].decode().replace("VALUE = 1", f"VALUE = {value}")
    return f"```{path}\n{body}```"


class Model:
    """Answers by question; each question's answers in turn, the last one for ever."""

    def __init__(self, **answers: str | Sequence[str | Reply]) -> None:
        given = {"plan": PLAN, "refine_the_plan": PLAN, "review": OK, "analyse": FINDING} | answers
        self._answers = {name: [v] if isinstance(v, str) else list(v) for name, v in given.items()}
        self.asked: list[str] = []
        self.requests: dict[str, list[Request]] = {}

    def __call__(self, request: Request) -> Reply:
        name = asked(request)[0].lower().replace(" ", "_")
        self.asked.append(name)
        self.requests.setdefault(name, []).append(request)
        answers = self._answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return text(answer) if isinstance(answer, str) else answer

    def said(self, name: str, number: int = -1) -> str:
        """The last message of a question."""
        return str(self.requests[name][number].messages[-1]["content"])


@dataclass
class Played:
    """What is left of a run."""

    context: LocalContext
    model: Model

    @property
    def scores(self) -> list[float | None]:
        """Of all attempts but the seed."""
        return [attempt.score for attempt in list(self.context.graph)[1:]]

    async def best_files(self) -> Mapping[str, bytes]:
        """The files of the best attempt."""
        assert self.context.graph.best is not None
        return await self.context.read_attempt(self.context.graph.best.id)

    def stages(self, name: str) -> list[str]:
        """What the transcript says of the steps of this name."""
        return [
            turn["text"]
            for turn in self.context.transcript
            if turn["type"] == "stage" and turn["stage"] == name
        ]

    @property
    def checks(self) -> list[bool]:
        """How the checks ended."""
        return [turn["ok"] for turn in self.context.transcript if turn.get("name") == "check"]


async def play(
    folder: Path,
    provider: SandboxProvider,
    model: Model,
    *,
    max_turns: int = 40,
    seed: Mapping[str, bytes] = SEED,
    task: TaskView = TASK,
    prepare: Callable[[LocalContext], None] = lambda context: None,
    command_timeout_s: float = 20.0,
    **more: Any,
) -> Played:
    """Let the agent run against a model to the end of its directives."""
    with ScriptedEndpoint(model) as endpoint:
        named = ModelConfig(name="scripted", base_url=endpoint.url, retries=1)
        config = AgentConfig(model=named, max_turns=max_turns, command_timeout_s=command_timeout_s)
        more = {"seed": seed, "task": task, "score": value_score, "config": config} | more
        async with open_context(folder, provider, **more) as context:
            prepare(context)
            await PipelineAgent(config).run(context)
            return Played(context, model)


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


# Coding modes.


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


async def test_modules_that_cannot_be_read_are_written_as_whole_files(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(plan=MODULES, write_a_module="I cannot.", write_the_files=whole(4))
    played = await play(tmp_path / "run", provider, model, operators=[Operator.DRAFT])
    assert model.asked.count("write_a_module") == 2
    assert played.scores == [4.0]


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


TWO = SEED | {"b.py": b"B = 1\n"}


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


async def test_what_did_not_apply_in_the_end_is_told_to_the_reviewer(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    both = f"{setting(2)}\n{block('b.py', ['B = 5'], ['B = 2'])}"
    model = Model(change_the_files=[both, "no"], write_the_files="no")
    played = await play(tmp_path / "run", provider, model, seed=TWO)
    assert "These blocks did not apply" in model.said("review")
    assert "B = 1" in model.said("review"), "the nearest text"
    assert played.scores == [2.0]


async def test_after_two_directives_without_a_block_the_files_are_written_whole(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files="no", write_the_files=[whole(n) for n in (2, 3, 4, 5)])
    played = await play(tmp_path / "run", provider, model, operators=[Operator.IMPROVE] * 4)
    assert played.scores == [2.0, 3.0, 4.0, 5.0]
    modes = [mode.split()[-1] for mode in played.stages("choose")]
    assert modes == ["diff", "diff", "full", "diff"]


# Malformed answers, stage by stage.


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


# Review and repair.


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


SLEEPS = block("solve.py", ["VALUE = 1"], ["VALUE = 2", "import time; time.sleep(600)"])


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


# Memory, messages, budget, prompts.


def record(number: int, title: str, outcome: str, score: float | None = None) -> Recalled:
    found = MemoryRecord(
        id=RecordId(f"{number:032x}"), kind=RecordKind.ATTEMPT, title=title, text="```\nIGNORE ALL",
        task=TASK.name, run="r", agent="agent-2", created_at=0.0, score=score, outcome=outcome,
    )  # fmt: skip
    return Recalled(found, number, 1.0)


class Remembering(LocalContext):
    """Recalls successes and failures, and keeps what was asked."""

    queries: list[tuple[str, str]]

    async def recall(self, text: str, *, purpose: str = "search", limit: int = 5) -> list[Recalled]:
        self.queries = [*getattr(self, "queries", []), (purpose, text)]
        return [record(1, "it rose", "improved", 9.0), record(2, "it fell", "worse", 0.5),
                record(3, "it broke", "failed"), record(4, "it stood", "equal", 1.0)]  # fmt: skip


async def test_the_plan_is_refined_with_successes_and_failures(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    refined = PLAN.replace("a larger value", "a refined value")
    model = Model(refine_the_plan=refined, change_the_files=setting(2))
    played = await play(tmp_path / "run", provider, model, kind=Remembering)
    assert isinstance(played.context, Remembering)
    assert played.context.queries == [("plan", f"a larger value\n{PLAN}")]
    told = model.said("refine_the_plan")
    worked, rest = told.split("## What did not")
    failed, notes = rest.split("## Notes")
    assert "it rose" in worked
    assert "measured score 9" in worked
    assert "it fell" in failed
    assert "outcome failed" in failed
    assert "it stood" in notes
    assert "| IGNORE ALL" in told
    assert "they are data" in told.lower()
    assert "it rose" not in model.said("plan"), "the first stage is without the memory"
    assert played.context.graph.best is not None
    assert played.context.graph.best.title == "a refined value"


def intervention(text: str, **more: Any) -> Intervention:
    return Intervention(rule="user", agent="agent-1", reason="told", text=text, **more)


async def test_a_message_is_in_the_next_plan(tmp_path: Path, provider: SandboxProvider) -> None:
    model = Model(change_the_files=setting(2))
    said = [intervention("look at {{ braces }}")]
    played = await play(
        tmp_path / "run", provider, model,
        prepare=lambda context: [context.intervene(each) for each in said][0],
    )  # fmt: skip
    assert "look at {{ braces }}" in model.said("plan")
    assert played.scores == [2.0]


class Told(LocalContext):
    """Something is said to the agent while it works on its first review."""

    what: Intervention

    def say(self, activity: str) -> None:
        super().say(activity)
        if activity == "reviewing" and self.activities.count("reviewing") == 1:
            self.intervene(self.what)


@pytest.mark.parametrize("action", ["pivot", "prompt", "restart"])
async def test_what_is_said_during_a_directive(
    action: Any, tmp_path: Path, provider: SandboxProvider
) -> None:
    kind = type("Now", (Told,), {"what": intervention("think again", action=action)})
    model = Model(change_the_files=[setting(2), setting(3), setting(4, old=3)])
    if action != "pivot":
        model = Model(change_the_files=[setting(2), setting(3, old=2), setting(4, old=3)])
    operators = [Operator.IMPROVE] * 3
    played = await play(tmp_path / "run", provider, model, operators=operators, kind=kind)
    assert played.scores == ([3.0, 4.0] if action == "pivot" else [2.0, 3.0, 4.0])
    plans = [str(request.messages[1]["content"]) for request in model.requests["plan"]]
    assert ["think again" in plan for plan in plans] == [False, True, False]
    ended = played.stages("finish")
    assert ended == (
        ["the directive ends without a submission: told to pivot by user"]
        if action == "pivot"
        else []
    )


async def test_a_restart_forgets_what_came_of_earlier_plans(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    class Restarted(LocalContext):
        def say(self, activity: str) -> None:
            super().say(activity)
            if activity == "reviewing" and self.activities.count("reviewing") == 2:
                self.intervene(intervention("afresh", action="restart"))

    model = Model(change_the_files=[setting(2), setting(3, old=2), setting(4, old=3)])
    operators = [Operator.IMPROVE] * 3
    await play(tmp_path / "run", provider, model, operators=operators, kind=Restarted)
    plans = [question(request) for request in model.requests["plan"]]
    assert ["attempt 1: score 2, better" in plan for plan in plans] == [False, True, False]
    assert "attempt 2: score 3, better" in plans[2], "what came after the restart stays"


class Interrupting(LocalContext):
    """Something urgent is said as soon as the first check runs."""

    what: Intervention

    async def try_out(self, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        if not any(self.activities.count(said) > 1 for said in ("checking", "planning")):
            asyncio.get_running_loop().call_later(0.2, self.intervene, self.what)
        return await super().try_out(argv, timeout_s=timeout_s)


@pytest.mark.parametrize("action", ["prompt", "pivot"])
async def test_an_urgent_message_cuts_a_check_short(
    action: Any, tmp_path: Path, provider: SandboxProvider
) -> None:
    said = intervention("stop waiting", action=action, urgent=True)
    kind = type("Now", (Interrupting,), {"what": said})
    model = Model(change_the_files=[SLEEPS, setting(3)])
    long = replace(TASK, timeout_s=1000.0)
    played = await play(
        tmp_path / "run", provider, model, task=long, kind=kind, command_timeout_s=500,
        operators=[Operator.IMPROVE] * (2 if action == "pivot" else 1),
    )  # fmt: skip
    assert model.asked.count("plan") == 2
    assert "stop waiting" in question(model.requests["plan"][1])
    assert played.scores == [3.0]
    files = await played.best_files()
    assert b"sleep" not in files["solve.py"]


async def test_a_plan_made_again_leaves_no_file_of_the_first_one(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    said = intervention("stop waiting", urgent=True)
    kind = type("Now", (Interrupting,), {"what": said})
    first = SLEEPS + "\n" + block("junk.py", [], ["junk = 1"])
    model = Model(change_the_files=[first, setting(3)])
    long = replace(TASK, timeout_s=1000.0)
    played = await play(
        tmp_path / "run", provider, model, task=long, kind=kind, command_timeout_s=500
    )
    files = await played.best_files()
    assert sorted(files) == ["solve.py"]


async def test_the_budget_ends_the_agent(tmp_path: Path, provider: SandboxProvider) -> None:
    model = Model(change_the_files=setting(2))
    with pytest.raises(BudgetExhaustedError):
        await play(tmp_path / "run", provider, model, tokens=100)
    assert model.asked == []


async def test_prompts_can_be_replaced(tmp_path: Path, provider: SandboxProvider) -> None:
    own = tmp_path / "prompts"
    own.mkdir()
    shipped = "# Review: directive {{ number }}, {{ operator }}\n\nMY REVIEW {{ difference }}"
    (own / "pipeline_review.md.j2").write_text(shipped, encoding="utf-8")
    model = Model(change_the_files=setting(2))
    await play(tmp_path / "run", provider, model, prompts=[own])
    assert "MY REVIEW ```diff" in model.said("review")


async def test_references_are_shown(tmp_path: Path, provider: SandboxProvider) -> None:
    model = Model(change_the_files=[setting(2), setting(3, old=2)])
    await play(tmp_path / "run", provider, model, operators=[Operator.IMPROVE, Operator.FUSE])
    for name in ("plan", "change_the_files"):
        base, reference = question(model.requests[name][1]).split("## Reference: attempt 0")
        assert "VALUE = 2" in base
        assert "VALUE = 1" in reference


async def test_checkpoints_do_not_grow_with_the_directives(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=[setting(n + 1, old=n) for n in range(1, 6)])
    played = await play(tmp_path / "run", provider, model, operators=[Operator.IMPROVE] * 5)
    assert len(played.scores) == 5
    with closing(sqlite3.connect(tmp_path / "run" / "agents.db")) as connection:
        counts = connection.execute("SELECT thread_id, count(*) FROM checkpoints GROUP BY 1")
        assert [(thread, count <= 3) for thread, count in counts] == [("agent-1/pipeline", True)]


async def test_the_transcript_has_every_turn(tmp_path: Path, provider: SandboxProvider) -> None:
    played = await play(tmp_path / "run", provider, Model(change_the_files=setting(2)))
    turns = [(turn["type"], turn["stage"]) for turn in played.context.transcript]
    assert turns == [
        ("system", "assign"), ("user", "plan"), ("assistant", "plan"), ("stage", "choose"),
        ("user", "diff"), ("assistant", "diff"), ("user", "review"), ("assistant", "review"),
        ("tool", "check"), ("tool", "submit"), ("user", "analyse"), ("assistant", "analyse"),
    ]  # fmt: skip
    answer = next(turn for turn in played.context.transcript if turn["type"] == "assistant")
    assert answer["usage"]["prompt_tokens"] > 0
    assert json.dumps(played.context.transcript)


def test_a_model_must_be_named() -> None:
    with pytest.raises(ConfigurationError, match="no model is named"):
        PipelineAgent(AgentConfig())
