"""Scores a served candidate by its speed. For judges: `import harness_timing`; needs NumPy.

`compare` measures the candidate against the task's baseline so that time cannot be gained but by
computing the same faster:

- The clock is the judge's, in another sandbox. It runs from before the arguments are sent until the
  value, or a hash that binds it, has arrived: work that is put off, done in a thread or left in a
  stream is waited for, or is missing.
- Arguments are drawn for each call and known to nobody before its clock runs, so nothing can be
  computed ahead or remembered. Sizes are drawn for each evaluation; order and number of calls vary,
  and calls of other sizes lie between those that count.
- The value of every call is checked, those that count above all, against the judge's own arithmetic
  on the judge's own copy of the arguments.
- The baseline goes the same way in a sandbox of its own with the same arguments, before the
  candidate has been started and then in turn with it. The one that is not called stands still. The
  best time counts, so the candidate gains nothing by slowing the baseline down.
- What the way itself costs is measured with the baseline's function `null`, which returns a value
  of the right form without computing it, and is taken off both times. What is left of the
  candidate's cannot be less than the spread of that cost.
- A time below what the machine could do at best (`floor_s`) is no record but an alarm: *invalid*.
"""

from __future__ import annotations

import math
import secrets
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness.evaluators.inside.serve_judge import Candidate, Peer

NULL_CALLS = 5
"""Calls of `null` for each size."""
SOLO_CALLS = 3
"""Calls of the baseline for each size before the candidate is started."""
CALLS = 3
"""Calls of each program in its turn: changing over can take longer than a call."""
EXTRA_ROUNDS = 2
"""Rounds beyond `Kernel.rounds` that are drawn."""
SETTLED = 0.05
"""Rounds go on, to `Kernel.max_rounds`, until the best two times are this close."""


class BaselineError(Exception):
    """The task's own program is wrong: no candidate is judged by it."""


@dataclass(frozen=True)
class Kernel:
    """What is measured, and how it is checked.

    `draw` draws a size, `make` the arguments of one call of that size, `check` says what is wrong
    with a value ("" when nothing is), and `floor_s` the seconds that no machine of the kind can do
    with less for a size. All randomness comes from the generator they are given.
    """

    function: str
    draw: Callable[[np.random.Generator], Any]
    make: Callable[[np.random.Generator, Any], Sequence[Any]]
    check: Callable[[np.random.Generator, Sequence[Any], Any], str]
    floor_s: Callable[[Any], float]
    sizes: int = 3
    rounds: int = 4
    max_rounds: int = 12
    held: bool = False
    """Whether values are promised by their hash within the clock and sent after it."""


@dataclass
class Times:
    """Seconds of the calls of one size."""

    size: Any
    null: list[float] = field(default_factory=list[float])
    baseline: list[float] = field(default_factory=list[float])
    candidate: list[float] = field(default_factory=list[float])

    @property
    def cost(self) -> float:
        """Of the way, without anything computed."""
        return min(self.null)

    @property
    def resolution(self) -> float:
        """What the cost of the way varies by, when nothing else is in the way: up to its lower
        quartile. Nothing shorter can be told."""
        return sorted(self.null)[len(self.null) // 4] - self.cost

    @property
    def slow(self) -> float:
        return min(self.baseline) - self.cost

    @property
    def fast(self) -> float:
        return min(self.candidate) - self.cost

    @property
    def speedup(self) -> float:
        return self.slow / max(self.fast, self.resolution)

    @property
    def noise(self) -> float:
        """Relative difference between the best time and the next, the larger of both programs'."""
        return max(self._gap(self.baseline, self.slow), self._gap(self.candidate, self.fast))

    def _gap(self, seconds: list[float], best: float) -> float:
        first, second = sorted(seconds)[:2]
        return (second - first) / max(best, self.resolution)


def compare(candidate: Candidate, kernel: Kernel) -> dict[str, Any]:
    """The judge's answer: how many times faster than the baseline, as a geometric mean over sizes.

    Metrics are milliseconds of baseline and candidate without the cost of the way, summed over the
    sizes; that cost; and `noise`, below which differences of the score mean nothing.

    Raises:
        BaselineError: The baseline's values are refused, or it is no slower than nothing.
        Candidate.Error: The candidate raised.
        Candidate.Ended: It answers no more.
    """
    baseline = candidate.baseline
    if baseline is None:
        raise BaselineError("evaluator.baseline names no program")
    found = [Times(kernel.draw(fresh())) for _ in range(kernel.sizes)]
    for times in found:
        _measure_alone(baseline, kernel, times)
    problem = _measure_together(candidate, baseline, kernel, found)
    if problem:
        return {"score": None, "feedback": problem}
    alarm = next(filter(None, (_alarm(kernel, times) for times in found)), "")
    if alarm:
        return {"score": None, "feedback": alarm}
    return _answer(found)


def fresh() -> np.random.Generator:
    """Random numbers that nobody can continue from earlier ones."""
    return np.random.default_rng(secrets.randbits(128))


def array_problem(value: Any, dtype: str, shape: Sequence[int]) -> str:
    """What keeps `value` from being a finite array of that type and shape; "" when nothing does."""
    if type(value) is not np.ndarray:
        return f"a {type(value).__name__} was returned, not an array"
    if value.dtype != np.dtype(dtype) or value.shape != tuple(shape):
        return f"{value.dtype}{list(value.shape)} was returned, not {dtype}{list(shape)}"
    wrong = value.size - int(np.count_nonzero(np.isfinite(value)))
    return f"{wrong} values are not finite" if wrong else ""


def close_problem(found: Any, exact: Any, scale: Any, *, roundings: float) -> str:
    """Where `found` is too far from `exact` (float64), element by element; "" when nowhere.

    The allowance of an element is `roundings` of its own type's relative precision, times `scale`:
    what the element is summed from, in absolute values.
    """
    allowed = roundings * float(np.finfo(found.dtype).eps) * np.asarray(scale, dtype=np.float64)
    smallest = float(np.finfo(np.float64).tiny)
    off: Any = np.abs(found.astype(np.float64) - exact) / np.maximum(allowed, smallest)
    wrong = int(np.sum(off > 1))
    if wrong == 0:
        return ""
    return (
        f"{wrong} of {off.size} values looked at are wrong; the worst is {float(np.max(off)):.3g} "
        f"times as far off as {found.dtype} may be"
    )


def _call(peer: Peer, kernel: Kernel, arguments: Sequence[Any], name: str) -> tuple[float, Any]:
    """Seconds and value of one call."""
    peer.wake()
    if kernel.held:
        promised = peer.hold(name, *arguments)
        return peer.seconds, promised.fetch()
    value = peer.call(name, *arguments)
    return peer.seconds, value


def _measure_alone(baseline: Peer, kernel: Kernel, times: Times) -> None:
    arguments = kernel.make(fresh(), times.size)
    for _ in range(NULL_CALLS):
        times.null.append(_call(baseline, kernel, arguments, "null")[0])
    for _ in range(SOLO_CALLS):
        arguments = kernel.make(fresh(), times.size)
        seconds, value = _call(baseline, kernel, arguments, kernel.function)
        problem = kernel.check(fresh(), arguments, value)
        if problem:
            raise BaselineError(f"the baseline at size {times.size}: {problem}")
        times.baseline.append(seconds)


def _measure_together(
    candidate: Candidate, baseline: Peer, kernel: Kernel, found: Sequence[Times]
) -> str:
    """Take times in turn; what is wrong with a value, "" when nothing is."""
    for times in found:  # not counted: what the first call of a size has to prepare
        problem = _checked(candidate, kernel, times.size)[1]
        if problem:
            return problem
    enough = kernel.rounds + secrets.randbelow(EXTRA_ROUNDS + 1)
    for number in range(max(enough, kernel.max_rounds)):
        if number >= enough and all(times.noise <= SETTLED for times in found):
            break
        for times in _shuffled(found):
            problem = _pair(candidate, baseline, kernel, times) or _decoy(candidate, kernel)
            if problem:
                return problem
    return ""


def _pair(candidate: Candidate, baseline: Peer, kernel: Kernel, times: Times) -> str:
    """Some calls of each with the same arguments, either first."""
    given = [kernel.make(fresh(), times.size) for _ in range(CALLS)]
    problem = ""
    for name in secrets.choice((("baseline", "candidate"), ("candidate", "baseline"))):
        for arguments in given:
            if name == "baseline":
                times.baseline.append(_call(baseline, kernel, arguments, kernel.function)[0])
                times.null.append(_call(baseline, kernel, arguments, "null")[0])
                continue
            seconds, wrong = _checked(candidate, kernel, times.size, arguments)
            times.candidate.append(seconds)
            problem = problem or wrong
    return problem


def _checked(
    candidate: Candidate, kernel: Kernel, size: Any, arguments: Sequence[Any] | None = None
) -> tuple[float, str]:
    """Seconds of a call of the candidate, and what is wrong with its value."""
    arguments = kernel.make(fresh(), size) if arguments is None else arguments
    seconds, value = _call(candidate, kernel, arguments, kernel.function)
    problem = kernel.check(fresh(), arguments, value)
    return seconds, f"wrong at size {size}: {problem}" if problem else ""


def _shuffled(found: Sequence[Times]) -> list[Times]:
    return [found[index] for index in fresh().permutation(len(found)).tolist()]


def _decoy(candidate: Candidate, kernel: Kernel) -> str:
    """Now and then a call of another size: calls cannot be counted, nor sizes relied on."""
    if secrets.randbelow(4):
        return ""
    return _checked(candidate, kernel, kernel.draw(fresh()))[1]


def _alarm(kernel: Kernel, times: Times) -> str:
    floor = kernel.floor_s(times.size)
    if times.slow <= max(floor, times.resolution):
        raise BaselineError(
            f"the baseline takes {times.slow:.3g} s at size {times.size}, and sending alone "
            f"varies by {times.resolution:.3g} s: too little to measure, or too busy a machine"
        )
    if times.fast >= floor:
        return ""
    return (
        f"alarm: {times.fast * 1e3:.4g} ms at size {times.size} is less than the {floor * 1e3:.4g} "
        "ms that the hardware could do it in"
    )


def _answer(found: Sequence[Times]) -> dict[str, Any]:
    score = math.exp(statistics.fmean(math.log(times.speedup) for times in found))
    noise = max(times.noise for times in found)
    each = ", ".join(
        f"{times.size}: {times.slow * 1e3:.3g} -> {times.fast * 1e3:.3g} ms" for times in found
    )
    return {
        "score": score,
        "metrics": {
            "baseline_ms": 1e3 * sum(times.slow for times in found),
            "candidate_ms": 1e3 * sum(times.fast for times in found),
            "overhead_ms": 1e3 * sum(times.cost for times in found),
            "noise": noise,
        },
        "feedback": f"{score:.3g} times as fast as the baseline; by size: {each}; differences "
        f"below {noise:.1%} are noise",
    }
