"""The questions that are put to the model: what is asked, what of the answer is taken, what else.

A stage is data: its name, its templates and three functions. Each answer is used at once or sent
back with what was wrong; after `tries` answers that cannot be used, `give_up` says how it goes on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.agents.pipeline.answers import (
    Plan,
    loose_plan,
    parse_finding,
    parse_plan,
    parse_reported,
    parse_review,
)
from harness.agents.pipeline.files import Applied, apply_path_blocks, refused
from harness.agents.pipeline.modes import coded, other_way, repair, rewritten, targets
from harness.agents.pipeline.parts import (
    AnswerError,
    has_blocks,
    parse_files,
    parse_path_blocks,
)
from harness.agents.pipeline.prompts import Desk
from harness.agents.pipeline.state import Planned, State, Update
from harness.agents.text import clip, fence
from harness.ids import AttemptId

OWN_VALIDATION = "own_validation"
"""Metric of verdicts: the score that a program printed of its own validation."""
READ_ALIKE = 0.01
"""Relative difference within which two readings of it are the same: models round."""
_LEFT_OUT_CHARACTERS = 2_000


class UnusableError(AnswerError):
    """What an answer asks for cannot be done, or only a part of it.

    Args:
        problem: What is told to the model.
        kept: What is changed all the same.
    """

    def __init__(self, problem: str, kept: Update | None = None) -> None:
        super().__init__(problem)
        self.kept: Update = kept or {}


@dataclass(frozen=True, slots=True)
class Stage:
    """One question to the model."""

    name: str
    doing: str
    """For the live display."""
    template: str
    form: str
    """Template with the form of the answer: repeated when an answer is sent back."""
    values: Callable[[Desk, State], dict[str, Any]]
    take: Callable[[Desk, State, str], Update]
    """What an answer changes; raises `AnswerError`."""
    give_up: Callable[[Desk, State, str], Update]
    """How it goes on without a usable answer; given the last one, empty without any."""
    tries: int = 2
    whole: bool = False
    """Whether an answer that was cut off at the length limit is of no use."""


# Plan and refine.


def _planned(plan: Plan) -> Planned:
    files = [[file.path, file.purpose] for file in plan.files]
    return {"title": plan.title, "text": plan.text, "files": files}


def _take_plan(desk: Desk, state: State, answer: str) -> Update:
    return {"plan": _planned(parse_plan(answer)), "messages": [], "next": "recall"}


def _no_plan(desk: Desk, state: State, answer: str) -> Update:
    plan = loose_plan(answer)
    if plan is None:
        return {"next": "finish", "ended": "the model gave no plan"}
    return {"plan": _planned(plan), "messages": [], "next": "recall"}


def _refine_values(desk: Desk, state: State) -> dict[str, Any]:
    empty = {"successes": "", "failures": "", "others": ""}
    shared = {"plan": state["plan"]["text"], "messages": state["messages"]}
    return empty | state["recalled"] | shared


def _take_refined(desk: Desk, state: State, answer: str) -> Update:
    return {"plan": _planned(parse_plan(answer)), "messages": [], "next": "choose"}


def _not_refined(desk: Desk, state: State, answer: str) -> Update:
    return {"next": "choose"}


# Code.


def _work_values(desk: Desk, state: State) -> dict[str, Any]:
    return desk.work(state) | {"wanted": _wanted(desk, state)}


def _wanted(desk: Desk, state: State) -> str:
    paths = targets(desk, state)
    if not paths:
        return "the files that have to change"
    return "the files that the plan names" if len(paths) > 1 else f"`{paths[0]}`"


def _module_values(desk: Desk, state: State) -> dict[str, Any]:
    modules = [
        {"path": path, "purpose": purpose, "written": path in state["files"]}
        for path, purpose in state["plan"]["files"]
    ]
    return desk.work(state) | {"modules": modules, "wanted": state["modules"][0]}


def _join_values(desk: Desk, state: State) -> dict[str, Any]:
    return desk.work(state) | {"wanted": state["entry"]}


def _coded(desk: Desk, state: State, files: dict[str, str]) -> Update:
    after = rewritten(desk, state, files)
    if not after:
        raise UnusableError("with this the files stay as they are: nothing would change")
    return coded(state, after)


def _take_full(desk: Desk, state: State, answer: str) -> Update:
    paths = targets(desk, state)
    only = paths[0] if len(paths) == 1 else ""
    return _coded(desk, state, _whole_files(desk, state, answer, only))


def _take_module(desk: Desk, state: State, answer: str) -> Update:
    wanted, *others = state["modules"]
    files = _whole_files(desk, state, answer, wanted)
    if wanted not in files:
        raise UnusableError(f"`{wanted}` is not there")
    # Other files are left aside: each module is asked for in its turn.
    written = {**state["files"], wanted: files[wanted]}
    return {"files": written, "modules": others, "next": "module" if others else "join"}


def _take_join(desk: Desk, state: State, answer: str) -> Update:
    files = _whole_files(desk, state, answer, state["entry"])
    if state["entry"] not in files:
        raise UnusableError(f"`{state['entry']}` is not there")
    return _coded(desk, state, files)


def _whole_files(desk: Desk, state: State, answer: str, only: str) -> dict[str, str]:
    """Files given whole, and blocks where a model gave those instead; never none."""
    submission = desk.context.task.submission
    files = parse_files(answer, only=only, known="\n".join(desk.files(state).values()))
    problems = [problem for path in files if (problem := refused(path, submission))]
    if has_blocks(answer):
        current = {**desk.files(state), **files}
        applied = apply_path_blocks(current, parse_path_blocks(answer), submission)
        files = {**files, **applied.files}
        problems.extend(applied.problems)
    if problems:
        raise UnusableError("\n".join(problems))
    if not files:
        raise UnusableError("there is no fenced block with a file in it")
    return files


def _take_diff(desk: Desk, state: State, answer: str) -> Update:
    applied = _apply(desk, state, answer)
    if not applied.problems:
        return _coded(desk, state, applied.files) | {"misses": 0}
    problems = "\n".join(applied.problems)
    after = rewritten(desk, state, applied.files)
    if not after:
        raise UnusableError(f"nothing was applied.\n{problems}")
    done = ", ".join(f"`{path}`" for path in applied.files)
    raise UnusableError(
        f"{done} changed as you wrote. The blocks for other files were not applied:\n{problems}\n"
        "Send only those again, put right.",
        {"files": after, "left_out": clip(problems, _LEFT_OUT_CHARACTERS), "misses": 0},
    )


def _apply(desk: Desk, state: State, answer: str) -> Applied:
    blocks = parse_path_blocks(answer)
    if not blocks:
        # Whole files are not taken instead: a fragment must not replace a file.
        raise UnusableError("there is no SEARCH/REPLACE block in it")
    return apply_path_blocks(desk.files(state), blocks, desk.context.task.submission)


def _other_way(desk: Desk, state: State, answer: str) -> Update:
    return other_way(desk, state)


# Review and analyse.


def _review_values(desk: Desk, state: State) -> dict[str, Any]:
    return {
        "plan": state["plan"]["text"],
        "difference": desk.difference(state),
        "left_out": fence(state["left_out"]) if state["left_out"] else "",
    }


def _take_review(desk: Desk, state: State, answer: str) -> Update:
    review = parse_review(answer)
    if review.ok:
        return {"next": "check"}
    if not has_blocks(answer):
        return repair(f"A reviewer says:\n{fence(review.problems, 'review')}")
    applied = _apply(desk, state, answer)
    if applied.problems:
        raise UnusableError("the correction was not applied.\n" + "\n".join(applied.problems))
    return _coded(desk, state, applied.files) | {"next": "check"}


def _not_reviewed(desk: Desk, state: State, answer: str) -> Update:
    return {"next": "check"}


def _analyse_values(desk: Desk, state: State) -> dict[str, Any]:
    return {
        "plan": state["plan"]["text"],
        "difference": desk.difference(state),
        "verdict": state["verdict"],
    }


def _take_finding(desk: Desk, state: State, answer: str) -> Update:
    finding, doubt = parse_finding(answer), _doubt(desk, state, parse_reported(answer))
    return {"finding": f"{finding} {doubt}".strip(), "next": "finish"}


def _doubt(desk: Desk, state: State, read: float | None) -> str:
    """What is said where model and evaluator read different scores from a program's output."""
    verdict = desk.context.graph[AttemptId(state["attempt"])].verdict
    found = verdict.metrics.get(OWN_VALIDATION) if verdict is not None else None
    if read is None or (found is not None and math.isclose(found, read, rel_tol=READ_ALIKE)):
        return ""
    told = "none" if found is None else f"{found:.6g}"
    return f"(In doubt: the evaluator read {told} as its own validation, the model {read:.6g}.)"


def _no_finding(desk: Desk, state: State, answer: str) -> Update:
    return {"next": "finish"}


def _code(
    name: str,
    form: str,
    values: Callable[[Desk, State], dict[str, Any]],
    take: Callable[[Desk, State, str], Update],
    tries: int,
) -> Stage:
    template = f"pipeline_{name}"
    return Stage(
        name, f"coding ({name})", template, form, values, take, _other_way, tries, whole=True
    )


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "plan", "planning", "pipeline_plan", "pipeline_form_plan",
            Desk.situation, _take_plan, _no_plan,
        ),
        Stage(
            "refine", "refining the plan", "pipeline_refine", "pipeline_form_plan",
            _refine_values, _take_refined, _not_refined,
        ),
        _code("full", "pipeline_form_files", _work_values, _take_full, 2),
        _code("diff", "pipeline_form_blocks", _work_values, _take_diff, 3),
        _code("module", "pipeline_form_files", _module_values, _take_module, 2),
        _code("join", "pipeline_form_files", _join_values, _take_join, 2),
        Stage(
            "review", "reviewing", "pipeline_review", "pipeline_form_review",
            _review_values, _take_review, _not_reviewed,
        ),
        Stage(
            "analyse", "analysing", "pipeline_analyse", "pipeline_form_finding",
            _analyse_values, _take_finding, _no_finding,
        ),
    )
}  # fmt: skip
"""By name. Another set of prompts is another set of stages."""
