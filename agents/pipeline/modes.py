"""How a plan is coded: by whole files, module by module, or by blocks; and what comes instead."""

from harness.agents.pipeline.files import Files, changed, refused
from harness.agents.pipeline.prompts import Desk
from harness.agents.pipeline.state import State, Update
from harness.attempt import Operator

MISSES = 2
"""After so many directives in a row without a block that applied, the files are written whole."""

_FROM_SCRATCH = frozenset({Operator.DRAFT, Operator.AGGREGATE})


def choose(desk: Desk, state: State) -> Update:
    """The coding mode for the plan: the step that follows, and for modules which ones."""
    scratch = desk.assignment.directive.operator in _FROM_SCRATCH
    if desk.base and not scratch:
        if state["misses"] < MISSES or not _can_rewrite(desk, state):
            return _mode("diff")
        return _mode("full") | {"misses": 0}
    paths = targets(desk, state)
    if len(paths) < 2:
        return _mode("full")
    entry = _entry(desk, paths)
    modules = [path for path in paths if path != entry]
    return _mode("module") | {"modules": modules, "entry": entry}


def _mode(name: str) -> Update:
    return {"next": name, "tried": [name]}


def _can_rewrite(desk: Desk, state: State) -> bool:
    """Whether the files that would be written whole are shown whole."""
    return desk.shows_whole(state, targets(desk, state) or desk.base)


def targets(desk: Desk, state: State) -> list[str]:
    """The planned files that would be submitted; without any, the only one there is."""
    task = desk.context.task
    planned = [
        path
        for path, _ in state["plan"]["files"]
        if not refused(path, task.submission) and (path in desk.base or path not in task.outputs)
    ]
    return planned or (list(desk.base) if len(desk.base) == 1 else [])


def _entry(desk: Desk, paths: list[str]) -> str:
    """The file that joins the modules: the one that the task's command names, else the last."""
    command = desk.context.task.produce
    named = [path for path in (*paths, *desk.base) if path in command]
    return named[0] if named else paths[-1]


def rewritten(desk: Desk, state: State, files: Files) -> Files:
    """What differs from the base once `files` are written; empty when they change nothing."""
    after = changed(desk.base, {**state["files"], **files})
    return {} if after == state["files"] else after


def coded(state: State, after: Files) -> Update:
    """The state once all is written.

    What a check or a review found wrong goes to the check, everything else to the review.
    """
    follows = "check" if state["problem"] else "review"
    return {"files": after, "problem": "", "left_out": "", "modules": [], "next": follows}


def repair(problem: str) -> Update:
    """Put right what review or check found, by blocks first."""
    return {"problem": problem, "tried": ["diff"], "next": "diff"}


def other_way(desk: Desk, state: State) -> Update:
    """What follows when a mode gave nothing: another one, what there is, or the end."""
    tried = state["tried"]
    if tried[-1] in ("module", "join"):
        # Half of a set of modules is of no use to anybody.
        return {"files": {}, "modules": [], "tried": [*tried, "full"], "next": "full"}
    missed = {"misses": state["misses"] + 1} if tried == ["diff"] and not state["left_out"] else {}
    for mode in ("full", "diff"):
        if mode not in tried and (mode == "diff" or _can_rewrite(desk, state)):
            return {"tried": [*tried, mode], "next": mode, **missed}  # type: ignore[typeddict-item]
    if state["repairs"]:
        return {"next": "finish", "ended": "the repair could not be read", **GIVEN_UP}
    if state["files"]:
        return {"next": "check" if state["problem"] else "review", "problem": ""}
    return {"next": "finish", "ended": "no change could be read from the model's answers"}


GIVEN_UP: Update = {"finding": "The program did not run, and repairing it failed."}
