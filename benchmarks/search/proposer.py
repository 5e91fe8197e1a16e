"""The one proposer: what a directive's operator, base and references allow, for every policy."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.search.problems import Module, Problem, Program

from harness.attempt import Operator

STEPS = (0.01, 1.0)
"""Standard deviations of a constant's change, drawn log-uniformly; in half-widths of the domain."""
FINE_STEPS = (0.003, 0.1)
"""The same for tuning."""
EACH = 0.3
"""Probability of each constant to change when several do."""
CHOICE = 0.4
"""Probability of an edit to change a choice where there are any."""
GLANCE = 0.3
"""Probability that an improvement takes from the programs it was shown."""
REPAIRED = 0.7
"""Probability that a repair succeeds."""


def propose(
    problem: Problem,
    operator: Operator,
    base: Program,
    parent: Program | None,
    references: Sequence[Program],
    rng: random.Random,
) -> Program:
    """A new program. Draft: from scratch; debug: the base repaired, or not; fuse and aggregate:
    modules of the references in the base; evolve: on along the base's last change; tune: small
    steps; improve: one edit, or a look at the references if the directive has any."""
    if operator is Operator.DEBUG:
        return replace(base, broken=rng.random() >= REPAIRED)
    if operator is Operator.DRAFT:
        child = problem.fresh(rng)
    elif references and (operator in {Operator.FUSE, Operator.AGGREGATE} or rng.random() < GLANCE):
        child = base
        for reference in references:
            child = _take(problem, child, reference, rng)
        if child == base:
            child = _edit(problem, base, STEPS, rng)
    elif operator is Operator.EVOLVE and parent is not None:
        child = _go_on(base, parent, rng)
    else:
        child = _edit(problem, base, FINE_STEPS if operator is Operator.TUNE else STEPS, rng)
    return replace(child, broken=rng.random() < problem.failing)


def _edit(
    problem: Problem, base: Program, steps: tuple[float, float], rng: random.Random
) -> Program:
    if problem.options and rng.random() < CHOICE:
        place = rng.randrange(len(problem.options))
        value = rng.randrange(problem.options[place])
        return replace(base, choices=(*base.choices[:place], value, *base.choices[place + 1 :]))
    sigma = math.exp(rng.uniform(math.log(steps[0]), math.log(steps[1])))
    one = rng.randrange(len(base.constants))
    several = rng.random() < 0.5
    return replace(
        base,
        constants=tuple(
            _clip(c + rng.gauss(0.0, sigma))
            if (rng.random() < EACH if several else i == one)
            else c
            for i, c in enumerate(base.constants)
        ),
    )


def _go_on(base: Program, parent: Program, rng: random.Random) -> Program:
    """Once more the change that led to the base, longer or shorter."""
    length = rng.uniform(0.2, 1.5)
    pairs = zip(base.constants, parent.constants, strict=True)
    return replace(base, constants=tuple(_clip(c + length * (c - p)) for c, p in pairs))


def _take(problem: Problem, base: Program, other: Program, rng: random.Random) -> Program:
    """Each module in which the two differ with a probability that is drawn first; one at least."""
    differing = [m for m in problem.modules if _part(base, m) != _part(other, m)]
    if not differing:
        return problem.joined(base, other, base)
    share = math.exp(rng.uniform(math.log(min(0.5, 1.0 / len(differing))), math.log(0.5)))
    sure = rng.randrange(len(differing))
    choices, constants = list(base.choices), list(base.constants)
    for number, (of_choices, of_constants) in enumerate(differing):
        if number == sure or rng.random() < share:
            for i in of_choices:
                choices[i] = other.choices[i]
            for i in of_constants:
                constants[i] = other.constants[i]
    return problem.joined(base, other, Program(tuple(choices), tuple(constants)))


def _part(program: Program, module: Module) -> tuple[list[int], list[float]]:
    choices, constants = module
    return [program.choices[i] for i in choices], [program.constants[i] for i in constants]


def _clip(value: float) -> float:
    return min(1.0, max(-1.0, value))
