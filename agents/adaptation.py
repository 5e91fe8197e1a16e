"""What the recorded outcomes say about which changes to try and how large to make them.

Everything is derived from the attempts' `detail` and scores, so nothing else need be kept. Choices
are made by probability matching on success rates that fade with age; step sizes follow the
one-fifth success rule (Rechenberg 1973): they settle where one step in five is an improvement.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar, cast

from harness.attempt import NOT_CHARGED, UNFINISHED, Attempt, Direction, better
from harness.memory.base import MemoryRecord, RecordKind
from harness.search.graph import AttemptGraph

WINDOW = 300
"""Newest attempts looked at, which bounds the work in a long run."""
FADE = 0.97
"""What an outcome is worth after each further outcome of the same kind."""
DOUBT = 0.25
"""Merit of a choice with prior 1 before there is any outcome; it fades with the trials."""
FLOOR = 0.02
"""Merit below which no choice is put, so that each can come back."""
GROW, SHRINK = 2.4, 0.8
"""2.4 * 0.8**4 is 1.0: four failures undo one success."""
LESSON_TRIALS = 12.0
"""Trials that a lesson of earlier runs is worth at most: soon outweighed by the run's own."""
STEPS = (1e-9, 4.0)
"""Bounds of step sizes, relative to the spread of what is changed."""

Key = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(slots=True)
class Rate:
    """Faded trials and wins. A win counts by the size of its gain, so the rate is not a share."""

    count: int = 0
    trials: float = 0.0
    wins: float = 0.0

    def add(self, win: float) -> None:
        self.count += 1
        self.trials = self.trials * FADE + 1.0
        self.wins = self.wins * FADE + win


@dataclass(frozen=True, slots=True)
class Lesson:
    """What earlier runs found out about a key.

    `merit` is the mean size of a win over all tries, in [0, 1], `step` the one that paid.
    """

    key: Key
    tries: int
    merit: float
    step: float | None


def lessons_of(records: Iterable[MemoryRecord]) -> tuple[Lesson, ...]:
    """The lessons in the insights among `records`; what is not one is left out."""
    found: dict[Key, Lesson] = {}
    for record in records:
        if record.kind is not RecordKind.INSIGHT:
            continue
        for data in cast("Sequence[Mapping[str, Any]]", record.data.get("lessons") or ()):
            lesson = _lesson(data)
            if lesson is not None:
                found.setdefault(lesson.key, lesson)
    return tuple(found.values())


def _lesson(data: Mapping[str, Any]) -> Lesson | None:
    try:  # written by whoever wrote the memory
        step = data.get("step")
        tries, merit = int(data["tries"]), float(data["merit"])
        key = tuple(each if isinstance(each, int) else str(each) for each in data["key"])
        size = min(STEPS[1], max(STEPS[0], abs(float(step)))) if step else None
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return Lesson(key, tries, merit, size) if key and 0 <= merit <= 1 and tries > 0 else None


class Experience:
    """Success rates and step sizes by key: an edit's name, then ever finer places."""

    def __init__(self, unit: float = 1.0) -> None:
        self._unit = unit
        self._rates: dict[Key, Rate] = {}
        self._steps: dict[Key, float] = {}

    @classmethod
    def of(cls, graph: AttemptGraph, lessons: Sequence[Lesson] = ()) -> "Experience":
        """What earlier runs and the newest attempts of the graph teach; the same for the same."""
        recent = list(graph.attempts.values())[-WINDOW:]
        outcomes = [(a, gain_of(graph, a)) for a in recent if _teaches(a)]
        gains = [gain for _, gain in outcomes if gain > 0]
        experience = cls(max(gains, default=1.0))
        for lesson in lessons:
            experience._begin_with(lesson)
        for attempt, gain in outcomes:
            win = experience.win(gain)
            experience._learn(attempt.detail, win, finished=attempt.status not in UNFINISHED)
        return experience

    def _begin_with(self, lesson: Lesson) -> None:
        # Of kinds only: which places are worth changing is another matter in each run. No trial
        # is counted, so nothing loses the merit of the untried.
        if len(lesson.key) == 1:
            weight = min(float(lesson.tries), LESSON_TRIALS)
            self._rates[lesson.key] = Rate(0, weight, weight * lesson.merit)
        if lesson.step is not None:
            self._steps[lesson.key] = lesson.step

    def _learn(self, detail: Mapping[str, object], win: float, *, finished: bool) -> None:
        keys = keys_of(detail)
        for key in keys:
            self._rates.setdefault(key, Rate()).add(win)
        step = detail.get("step")
        if finished and isinstance(step, int | float) and step:
            # The two finest keys differ by the sign only; the size of the step is theirs together.
            key = keys[-2] if len(keys) > 1 else keys[-1]
            known = self._steps.get(key, abs(step))
            self._steps[key] = max(known, abs(step)) * GROW if win else known * SHRINK

    def win(self, gain: float) -> float:
        """What a gain counts, in [0, 1]: its size against the largest, compressed."""
        return min(1.0, math.sqrt(gain / self._unit)) if gain > 0 else 0.0

    def merit(self, key: Key, prior: float) -> float:
        """Mean win of late, plus what the prior is worth after so many trials."""
        rate = self._rates.get(key, Rate())
        novelty = prior * DOUBT / math.pow(rate.count + 1, 1.5)
        return max(FLOOR, rate.wins / (rate.trials + 1.0) + novelty)

    def choose(self, rng: Random, options: Sequence[tuple[T, Key, float]]) -> T:
        """One of (option, key, prior), with probability proportional to its merit."""
        weights = [self.merit(key, prior) for _, key, prior in options]
        return rng.choices(options, weights=weights)[0][0]

    def step(self, rng: Random, key: Key, default: float) -> float:
        """A step size around the adapted one; log-normal, over about a decade."""
        centre = self._steps.get(key, default)
        return min(STEPS[1], max(STEPS[0], centre * math.exp(rng.gauss(0.0, 0.8))))


def keys_of(detail: Mapping[str, object]) -> list[Key]:
    """From coarse to fine: edit; file and table; column; sign of the step."""
    key: Key = (str(detail.get("edit")),)
    keys: list[Key] = [key]
    for name in ("place", "column"):
        value = detail.get(name)
        if isinstance(value, str | int):
            key = (*key, value)
            keys.append(key)
    step = detail.get("step")
    if isinstance(step, int | float):
        keys.append((*key, "up" if step >= 0 else "down"))
    return keys


def scored_ancestor(graph: AttemptGraph, attempt: Attempt) -> Attempt | None:
    """The nearest ancestor along first parents that has a score."""
    while attempt.parents:
        attempt = graph[attempt.parents[0]]
        if attempt.score is not None:
            return attempt
    return None


def digests(attempts: Iterable[Attempt]) -> set[str]:
    """Digests of the contents that the offline agent has submitted."""
    return {str(a.detail["digest"]) for a in attempts if "digest" in a.detail}


def _teaches(attempt: Attempt) -> bool:
    return "edit" in attempt.detail and attempt.status not in NOT_CHARGED


def gain_of(graph: AttemptGraph, attempt: Attempt) -> float:
    """By how much the attempt beats its nearest scored ancestor; not positive otherwise."""
    base = scored_ancestor(graph, attempt)
    if attempt.score is None or base is None or base.score is None:
        return 0.0
    direction: Direction = graph.direction
    difference = abs(attempt.score - base.score)
    return difference if better(direction, attempt.score, base.score) else -difference
