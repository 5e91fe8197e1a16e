"""Plays sequences of items to a policy and counts the bins it uses."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.evaluators.inside.serve_judge import Candidate

CAPACITY = 100
SEQUENCES = 4
ITEMS = 300
SHAPE, SCALE = 3.0, 45.0
"""Of the Weibull distribution of the sizes (Castineiras, De Cauwer, O'Sullivan 2012)."""


def judge(candidate: Candidate, private: Path, seed: int) -> dict[str, Any]:
    """Mean excess of bins over the volume bound, in percent."""
    key = (private / "key.txt").read_text(encoding="utf-8").strip()
    excesses: list[float] = []
    for number in range(SEQUENCES):
        items = sequence(Random(f"{key} {seed} {number}"))
        bins, problem = play(candidate, items)
        if problem:
            return {"score": None, "metrics": {}, "feedback": problem}
        bound = math.ceil(sum(items) / CAPACITY)
        excesses.append(100 * (bins - bound) / bound)
    return {"score": fmean(excesses), "metrics": {"worst": max(excesses)}, "feedback": ""}


def sequence(rng: Random) -> list[int]:
    """Sizes of the items, in the order in which they come."""
    drawn = (round(rng.weibullvariate(SCALE, SHAPE)) for _ in range(ITEMS))
    return [min(max(size, 1), CAPACITY) for size in drawn]


def play(candidate: Candidate, items: list[int]) -> tuple[int, str]:
    """The number of bins, and what was wrong with a choice."""
    free: list[int] = []
    for item in items:
        index: Any = candidate.call("choose", item, free)
        if type(index) is not int or not -1 <= index < len(free):
            return 0, "choose must return the index of an open bin, or -1"
        if index == -1:
            free.append(CAPACITY - item)
        elif free[index] < item:
            return 0, "choose returned a bin that is too full for the item"
        else:
            free[index] -= item
    return len(free), ""
