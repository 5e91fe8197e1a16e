"""Recall that tunes itself by what came of it.

One weight at a time is tried on every second recall, beside the weights in force. When both have
served enough attempts, the trial stays if clearly more of its attempts improved, else the weights
in force come back at once (seed: EvolveMem's loop of diagnosing, adjusting and reverting on
regression; here both sides run at the same time, because attempts improve less often the longer a
run goes on, which would make every later setting look worse). After a round of trials in vain it
rests, and explores again when what it serves stagnates.

All state is in the table `tuning`, one row for each decision with its reason; several processes
share it. Every weight has bounds, none of which can switch off the cut-off. `memory.tune` is off:
the defaults are in force.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import sqrt
from typing import Any, NamedTuple

from harness.memory.outcomes import newest_entry, served
from harness.memory.ranking import Weights
from harness.memory.store import Store

ENOUGH = 30
"""Attempts that each side serves before they are compared."""
EVERY = 8
"""Credits between two looks at whether there is enough."""
CLEAR = 1.0
"""Standard errors by which a trial must be better: one in six would be by luck, and the next
trials undo it."""
STAGNATION = 0.7
"""Share of the reward at the beginning of a rest below which it is over."""
BOUNDS: Mapping[str, tuple[float, float, float]] = {
    "lexical": (0.4, 0.9, 0.1),
    "strictness": (0.8, 1.3, 0.1),
    "diversity": (0.0, 0.4, 0.1),
    "credit": (0.0, 1.0, 0.25),
    "recency": (0.0, 0.3, 0.1),
    "kind": (0.0, 1.5, 0.5),
}
"""Least, greatest and step of each weight."""
_STEPS = tuple((name, sign) for name in BOUNDS for sign in (1, -1))


class Served(NamedTuple):
    """A recall that served an attempt: on the side of the trial or not, and whether it improved."""

    trial: bool
    improved: bool


@dataclass(frozen=True, slots=True)
class State:
    """What is in force and what is tried, from log entry `since` on."""

    weights: Weights
    trial: Weights | None = None
    since: int = 0
    step: int = 0
    """Trials so far; says what the next one changes."""
    vain: int = 0
    """Trials in a row that did not stay."""
    reward: float = 0.0
    """Share that improved when a rest began."""

    def plain(self) -> dict[str, Any]:
        """Plain JSON."""
        trial = None if self.trial is None else self.trial.plain()
        return {
            "weights": self.weights.plain(), "trial": trial, "since": self.since,
            "step": self.step, "vain": self.vain, "reward": self.reward,
        }  # fmt: skip

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "State":
        trial = data["trial"]
        return cls(
            Weights.of(data["weights"]),
            None if trial is None else Weights.of(trial),
            int(data["since"]), int(data["step"]), int(data["vain"]), float(data["reward"]),
        )  # fmt: skip

    def on_trial(self, entry: int) -> bool:
        """Whether the recall after this log entry is on the side of the trial: one in two is.

        By a hash, since entries of other kinds between recalls may come in any rhythm.
        """
        return self.trial is not None and blake2b(b"%d" % entry).digest()[0] % 2 == 1


def decided(
    state: State, results: Sequence[Served], newest: int, fixed: frozenset[str]
) -> tuple[State, str] | None:
    """The next state and why, or None while there is nothing to decide.

    Args:
        state: In force.
        results: Recalls since `state.since` whose attempts have an outcome.
        newest: Number of the log's newest entry.
        fixed: Weights that the configuration fixes.
    """
    plain = [each.improved for each in results if not each.trial]
    trial = [each.improved for each in results if each.trial]
    if state.trial is None:
        if len(plain) < ENOUGH:
            return None
        reward = sum(plain) / len(plain)
        rests = state.vain >= len(_STEPS)
        if rests and reward >= STAGNATION * state.reward:
            return replace(state, since=newest), f"rests: {reward:.0%} improved"
        begun = replace(state, since=newest, vain=0 if rests else state.vain)
        return _tried(begun, fixed, f"{reward:.0%} improved")
    if min(len(plain), len(trial)) < ENOUGH:
        return None
    difference = sum(trial) / len(trial) - sum(plain) / len(plain)
    share = (sum(trial) + sum(plain)) / (len(trial) + len(plain))
    error = sqrt(max(share * (1 - share), 1e-9) * (1 / len(trial) + 1 / len(plain)))
    said = f"{sum(trial)} of {len(trial)} improved on trial, {sum(plain)} of {len(plain)} without"
    if difference > CLEAR * error:
        kept = State(state.trial, None, newest, state.step, 0)
        return _tried(kept, fixed, f"kept: {said}")
    back = replace(state, trial=None, since=newest, vain=state.vain + 1, reward=share)
    if back.vain >= len(_STEPS):
        return back, f"reverted, now resting: {said}"
    return _tried(back, fixed, f"reverted: {said}")


def _tried(state: State, fixed: frozenset[str], said: str) -> tuple[State, str]:
    """The next trial that changes anything within the bounds."""
    for ahead in range(len(_STEPS)):
        name, sign = _STEPS[(state.step + ahead) % len(_STEPS)]
        low, high, step = BOUNDS[name]
        now = getattr(state.weights, name)
        value = round(min(high, max(low, now + sign * step)), 4)
        if name not in fixed and value != now:
            trial = replace(state.weights, **{name: value})
            after = replace(state, trial=trial, step=state.step + ahead + 1)
            return after, f"{said}; now trying {name} {value:g} instead of {now:g}"
    return state, f"{said}; nothing to try"


class Tuner:
    """The tuning of one memory, as one process sees it.

    Args:
        store: Where state and outcomes are.
        weights: The defaults, with what the configuration fixes.
        fixed: Names of those weights.
        active: `memory.tune`.
    """

    def __init__(
        self, store: Store, weights: Weights, *, fixed: frozenset[str], active: bool
    ) -> None:
        self._store = store
        self._weights = weights
        self._fixed = fixed
        self._active = active
        self._credits = 0

    def weights(self) -> tuple[Weights, bool]:
        """Of the next recall, and whether it is on the side of a trial."""
        if not self._active:
            return self._weights, False
        with self._store.reading() as db:
            found = _state(db)
            entry = newest_entry(db)
        if found is None:
            return self._weights, False
        on_trial = found.on_trial(entry)
        chosen = found.trial if on_trial and found.trial is not None else found.weights
        return self._with_fixed(chosen), on_trial

    def advance(self, at: float) -> None:
        """After a credit: decide, if there is enough to decide by."""
        if not self._active:
            return
        self._credits += 1
        if self._credits % EVERY:
            return
        with self._store.writing(durable=False) as db:
            state = _state(db) or State(self._weights)
            results = [Served(*each) for each in served(db, state.since)]
            found = decided(state, results, newest_entry(db), self._fixed)
            if found is not None:
                db.execute(
                    "INSERT INTO tuning (at, weights, reason) VALUES (?, ?, ?)",
                    (at, json.dumps(found[0].plain()), found[1]),
                )

    def _with_fixed(self, weights: Weights) -> Weights:
        return replace(weights, **{name: getattr(self._weights, name) for name in self._fixed})


def _state(db: sqlite3.Connection) -> State | None:
    row = db.execute("SELECT weights FROM tuning ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else State.of(json.loads(row[0]))
