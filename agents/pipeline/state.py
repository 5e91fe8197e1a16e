"""What is checkpointed of a directive in work, and what lasts beyond it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

Message = dict[str, Any]

FINDINGS_KEPT = 10
MESSAGES_KEPT = 10


class Planned(TypedDict):
    """A plan as it is checkpointed: `files` are pairs of path and purpose."""

    title: str
    text: str
    files: list[list[str]]


class Update(TypedDict, total=False):
    """What a step changes."""

    directive: int
    next: str
    over: bool
    calls: int
    tries: int
    exchange: list[Message]
    plan: Planned
    recalled: dict[str, str]
    tried: list[str]
    modules: list[str]
    entry: str
    files: dict[str, str]
    problem: str
    left_out: str
    repairs: int
    placed: list[str]
    attempt: str
    outcome: str
    verdict: str
    finding: str
    ended: str
    findings: list[str]
    messages: list[str]
    misses: int
    shrunk: int


class State(TypedDict):
    """The state between two steps."""

    directive: int
    """Number of the open directive, 0 for none."""
    next: str
    """The step that follows."""
    over: bool
    calls: int
    """Model calls of the directive so far."""
    tries: int
    """Unusable answers to the question at hand."""
    exchange: list[Message]
    """The question at hand, the last answer and what was wrong with it; empty at first."""
    plan: Planned
    recalled: dict[str, str]
    """What the memory said of the plan, as quoted text: `successes`, `failures`, `others`."""
    tried: list[str]
    """Coding modes in the order in which they were tried."""
    modules: list[str]
    """Modules that are still to be written, one call each."""
    entry: str
    """The file that joins them."""
    files: dict[str, str]
    """Files that differ from the base's, with their whole content."""
    problem: str
    """What review or check found wrong, for the next coding step."""
    left_out: str
    """Blocks that did not apply in the end, for the reviewer."""
    repairs: int
    placed: list[str]
    """Files that were put into the workspace for this directive."""
    attempt: str
    outcome: str
    """What came of it, in one line."""
    verdict: str
    finding: str
    ended: str
    """Why the directive ended without going through all steps."""
    findings: list[str]
    """What came of earlier directives, the latest last. Lasts."""
    messages: list[str]
    """Heartbeats' and the user's, for the next plan. Last until they were shown."""
    misses: int
    """Directives in a row in which no block of a diff applied. Lasts."""
    shrunk: int
    """Times a question was too long for the model: the next ones show half of it. Lasts, but for
    one with each directive."""


def fresh(
    directive: int, *, findings: Sequence[str], messages: Sequence[str], misses: int, shrunk: int
) -> Update:
    """The state at the beginning of a directive."""
    return {
        "directive": directive,
        "next": "plan",
        "over": False,
        "calls": 0,
        "tries": 0,
        "exchange": [],
        "plan": {"title": "", "text": "", "files": []},
        "recalled": {},
        **NO_CODE,
        "placed": [],
        "attempt": "",
        "outcome": "",
        "verdict": "",
        "finding": "",
        "ended": "",
        "findings": list(findings)[-FINDINGS_KEPT:],
        "messages": list(messages)[-MESSAGES_KEPT:],
        "misses": misses,
        "shrunk": shrunk,
    }


NO_CODE: Update = {
    "tried": [],
    "modules": [],
    "entry": "",
    "files": {},
    "problem": "",
    "left_out": "",
    "repairs": 0,
}
"""The state before anything is coded."""


def merged(state: State, update: Mapping[str, Any]) -> State:
    """The state as it will be after `update`."""
    return cast(State, {**state, **update})
