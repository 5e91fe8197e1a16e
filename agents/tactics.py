"""How the offline agent answers a directive: with which kind of change, drawn by experience."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from harness.agents.adaptation import Experience, Lesson, digests, gain_of
from harness.agents.edits import Change, Program, edit_at_random
from harness.agents.recombination import CROSSINGS, repeat, retreat, transplant
from harness.attempt import Attempt, Operator
from harness.errors import HarnessError
from harness.search.graph import AttemptGraph

REPEATS = 3
"""Times an improvement is repeated from one attempt, each time more carefully."""
DRAWS = 60
"""Draws of a change before there is no further idea; only fresh edits after a quarter of them."""
BOLDNESS: Mapping[Operator, float] = {
    Operator.EVOLVE: 2.0,
    Operator.TUNE: 0.3,
    Operator.DEBUG: 0.5,
}
"""Factor on the adapted step size."""
REPEAT_CHANCE: Mapping[Operator, float] = {Operator.EVOLVE: 0.8, Operator.TUNE: 0.7}
"""Probability (0.5 otherwise) of repeating the base's own change if its gain was a full win."""


@dataclass(frozen=True, slots=True)
class Donor:
    """A reference attempt and, when it is an improvement, what it improved on."""

    program: Program
    origin: Program | None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a change is drawn from; the draw depends on nothing else.

    `program` is the base attempt's, `parent` that of its nearest scored ancestor.
    """

    graph: AttemptGraph
    operator: Operator
    base: Attempt
    program: Program
    parent: Program | None
    donors: Sequence[Donor]
    rng: Random
    lessons: Sequence[Lesson] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """Files to write into the base attempt's tree, and the record of the change."""

    files: Program
    detail: Mapping[str, object]
    title: str


def propose(situation: Situation) -> Proposal | None:
    """A change whose result differs from the base and from everything that was submitted.

    None when nothing new was found.

    Raises:
        HarnessError: There is nothing to change.
    """
    program = situation.program
    if not any(model.numbers or model.statements for model in program.values()):
        raise HarnessError(
            f"attempt {situation.base.id} has no number and no function body that the offline "
            "agent could change: name a model with --model"
        )
    experience = Experience.of(situation.graph, situation.lessons)
    seen = digests(situation.graph)
    debugs = situation.operator is Operator.DEBUG and situation.parent is not None
    start = situation.parent if debugs and situation.parent is not None else program
    for draw in range(DRAWS):
        change = _change(situation, experience) if draw < DRAWS // 4 else None
        bolder = (1.0 + draw / 10.0) ** 2  # what is near has been tried when many draws are in vain
        change = change or _fresh(situation, experience, start, bolder)
        if change is None:
            continue
        result = {**program, **start, **change.files}
        files = {p: m for p, m in result.items() if p not in program or program[p].text != m.text}
        digest = digest_of(result)
        if files and digest not in seen:
            return Proposal(files, {**change.detail, "digest": digest}, change.title)
    return None


def digest_of(program: Program) -> str:
    """Identity of the contents; short since it is recorded with every attempt."""
    content = hashlib.sha256()
    for path, model in sorted(program.items()):
        content.update(f"{path}\0{len(model.text)}\0".encode())
        content.update(model.text)
    return content.hexdigest()[:16]


def _fresh(
    situation: Situation, experience: Experience, start: Program, bolder: float
) -> Change | None:
    boldness = BOLDNESS.get(situation.operator, 1.0) * bolder
    return edit_at_random(situation.rng, start, experience, boldness)


def _change(situation: Situation, experience: Experience) -> Change | None:
    """A change that builds on earlier ones; None when a fresh edit is to be made instead."""
    rng, parent = situation.rng, situation.parent
    if situation.operator is Operator.DEBUG:
        return retreat(rng, situation.program, parent) if parent is not None else None
    if situation.donors:
        return _recombine(situation, experience)
    win = experience.win(gain_of(situation.graph, situation.base))
    tries = _repeats(situation.graph, situation.base)
    if parent is None or tries >= REPEATS or not win:
        return None
    if rng.random() >= REPEAT_CHANCE.get(situation.operator, 0.5) * win:
        return None
    return repeat(rng, situation.program, parent, tries)


def _recombine(situation: Situation, experience: Experience) -> Change | None:
    rng = situation.rng
    donor = rng.choice(situation.donors)
    options = [(name, (name,), prior) for _, name, prior in CROSSINGS]
    if donor.origin is not None:
        options.append(("transplant", ("transplant",), 4.0))
    chosen = experience.choose(rng, options)
    if chosen == "transplant" and donor.origin is not None:
        return transplant(situation.program, donor.program, donor.origin)
    crossing = next(function for function, name, _ in CROSSINGS if name == chosen)
    return crossing(rng, situation.program, donor.program)


def _repeats(graph: AttemptGraph, base: Attempt) -> int:
    """How often the way that led to `base` has been gone on from it."""
    return sum(1 for c in graph.children(base.id) if graph[c].detail.get("edit") == "repeat")
