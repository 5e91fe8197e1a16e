"""Distillation by statistics: which kinds of change paid on a task, where, and with which steps.

An attempt's `data["detail"]` may say what was changed: `edit` (else the operator stands for it),
`place`, `column`, `step`. An insight sums up all attempts of one kind of change on one task, names
its evidence, and carries the figures by place (`data["lessons"]`), so that a program can use them.
"""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import exp, log, sqrt
from statistics import median
from typing import Any, NamedTuple, cast

from harness.ids import RecordId
from harness.memory.base import MemoryRecord, RecordKind

LEAST_TRIES = 5
"""Attempts of one kind before anything is said of it."""
EVIDENCE = 30
"""Ids that an insight names: the newest, those that improved first."""
MOST_LESSONS = 60
AUTHOR = "consolidation"
_Z = 1.96


class Interval(NamedTuple):
    """95 % interval of a share (Wilson 1927)."""

    low: float
    high: float

    @classmethod
    def of(cls, wins: int, tries: int) -> "Interval":
        rate, square = wins / tries, _Z * _Z
        centre = (rate + square / (2 * tries)) / (1 + square / tries)
        spread = rate * (1 - rate) / tries + square / (4 * tries * tries)
        half = _Z * sqrt(spread) / (1 + square / tries)
        return cls(max(0.0, centre - half), min(1.0, centre + half))

    def disjoint(self, other: "Interval") -> bool:
        return self.low > other.high or other.low > self.high


@dataclass(slots=True)
class Tally:
    """What became of some attempts; `unit` is the task's largest gain."""

    unit: float
    tries: int = 0
    wins: int = 0
    merit: float = 0.0
    gains: list[float] = field(default_factory=list[float])
    steps: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def add(self, record: MemoryRecord, step: float | None) -> None:
        self.tries += 1
        self.wins += record.outcome == "improved"
        gain = gain_of(record)
        if gain <= 0:
            return
        # Compressed: gains shrink as a run gets better, and the late ones are worth having too.
        weight = sqrt(gain / self.unit)
        self.merit += weight
        self.gains.append(gain)
        if step is not None:
            self.steps.append((abs(step), weight))

    def plain(self) -> dict[str, Any]:
        """Plain JSON: `merit` is the mean size of a win over all tries, from 0 to 1."""
        return {
            "tries": self.tries,
            "wins": self.wins,
            "merit": round(self.merit / max(1, self.tries), 4),
            "step": self.step(),
        }

    def step(self) -> float | None:
        """Geometric mean of the steps that paid, the larger gains counting more."""
        total = sum(weight for _, weight in self.steps)
        if not total:
            return None
        return float(f"{exp(sum(w * log(step) for step, w in self.steps) / total):.4g}")


def gain_of(record: MemoryRecord) -> float:
    """By how much an attempt improved on the scored one that it began with; else 0."""
    before = record.data.get("before")
    if record.outcome != "improved" or record.score is None:
        return 0.0
    return abs(record.score - before) if isinstance(before, int | float) else 0.0


class _Task(NamedTuple):
    """Share of all attempts that improved, and the largest gain."""

    usual: float
    unit: float


def insights(
    records: Sequence[MemoryRecord], *, at: float, since: Mapping[str, float] | None = None
) -> list[MemoryRecord]:
    """One insight for each kind of change with enough attempts among a task's `records`.

    Args:
        records: Of one task, of any kind.
        at: When, seconds since the epoch.
        since: By kind of change: only attempts after this time count.
    """
    attempts = [record for record in records if record.kind is RecordKind.ATTEMPT]
    usual = _usual(attempts)
    unit = max((gain_of(each) for each in attempts), default=0.0) or 1.0
    groups: dict[str, list[MemoryRecord]] = defaultdict(list)
    starts = since or {}
    for record in attempts:
        kind = kind_of(record)
        if kind and record.created_at > starts.get(kind, float("-inf")):
            groups[kind].append(record)
    return [
        _insight(kind, found, _Task(usual, unit), starts.get(kind), at)
        for kind, found in sorted(groups.items())
        if len(found) >= LEAST_TRIES
    ]


def _usual(attempts: Sequence[MemoryRecord]) -> float:
    """Share of attempts that improved on what they began with."""
    return [each.outcome for each in attempts].count("improved") / max(1, len(attempts))


def kind_of(record: MemoryRecord) -> str:
    """The kind of change that an attempt made; empty for the seed."""
    detail = _detail(record)
    operator = str(record.data.get("operator") or "")
    return str(detail.get("edit") or operator) if record.agent != "seed" else ""


def contradicted(old: MemoryRecord, new: MemoryRecord) -> bool:
    """Whether the attempts since `old` say something else than it: intervals apart."""
    before, after = _counts(old), _counts(new)
    tries, wins = after[0] - before[0], after[1] - before[1]
    if tries < LEAST_TRIES or before[0] < 1 or not 0 <= wins <= tries:
        return False
    return Interval.of(before[1], before[0]).disjoint(Interval.of(wins, tries))


def subject(record: MemoryRecord) -> str:
    """What an insight of ours is about; empty for others."""
    return str(record.data.get("subject") or "") if record.agent == AUTHOR else ""


def _insight(
    kind: str, found: Sequence[MemoryRecord], whole_task: _Task, since: float | None, at: float
) -> MemoryRecord:
    whole = Tally(whole_task.unit)
    places: dict[tuple[str | int, ...], Tally] = defaultdict(partial(Tally, whole_task.unit))
    for record in found:
        detail = _detail(record)
        given = detail.get("step")
        step = float(given) if isinstance(given, int | float) and given else None
        whole.add(record, step)
        for key in _keys(detail):
            places[key].add(record, step)
    newest = sorted(found, key=lambda r: (r.outcome == "improved", r.created_at), reverse=True)
    lessons = sorted(places.items(), key=lambda pair: -pair[1].tries)[:MOST_LESSONS]
    task, until = found[0].task, max(record.created_at for record in found)
    name = f"insight:{task}:{kind}:{since}:{whole.tries}:{until}"
    return MemoryRecord(
        id=RecordId(uuid.uuid5(uuid.NAMESPACE_OID, name).hex),
        kind=RecordKind.INSIGHT,
        title=f"{kind}: {whole.wins} of {whole.tries} attempts improved",
        text=_told(kind, whole, found, whole_task.usual),
        task=task,
        run="",
        agent=AUTHOR,
        created_at=at,
        data={
            "subject": kind,
            "since": since,
            "until": until,
            **whole.plain(),
            "evidence": [record.id for record in newest[:EVIDENCE]],
            "lessons": [{"key": list(key), **tally.plain()} for key, tally in lessons],
        },
    )


def _told(kind: str, whole: Tally, found: Sequence[MemoryRecord], usual: float) -> str:
    low, high = Interval.of(whole.wins, whole.tries)
    runs = len({record.run for record in found})
    rate = whole.wins / whole.tries
    interval = f"95 % interval {low:.0%} to {high:.0%}; all kinds of change: {usual:.0%}"
    lines = [
        f"Changes of the kind {kind}: {whole.tries} attempts in {runs} runs, {whole.wins} improved",
        f"({rate:.0%}, {interval}).",
    ]
    if whole.gains:
        lines.append(f"Median gain {median(whole.gains):.4g}, largest {max(whole.gains):.4g}.")
    if whole.steps:
        paid = [step for step, _ in whole.steps]
        around = f"around {whole.step():.3g}, from {min(paid):.3g} to {max(paid):.3g}"
        lines.append(f"Steps that paid: {around}.")
    failed = [r.outcome for r in found if r.outcome not in ("improved", "worse", "equal")]
    if failed:
        usual_failure = max(set(failed), key=failed.count)
        lines.append(f"{len(failed)} had no score, most often {usual_failure}.")
    return "\n".join(lines)


def _keys(detail: Mapping[str, Any]) -> list[tuple[str | int, ...]]:
    """From coarse to fine: edit; place; column."""
    key: tuple[str | int, ...] = (str(detail.get("edit")),)
    keys: list[tuple[str | int, ...]] = [key] if "edit" in detail else []
    for name in ("place", "column"):
        value = detail.get(name)
        if keys and isinstance(value, str | int):
            key = (*key, value)
            keys.append(key)
    return keys


def _detail(record: MemoryRecord) -> Mapping[str, Any]:
    detail = record.data.get("detail")
    return cast("Mapping[str, Any]", detail) if isinstance(detail, Mapping) else {}


def _counts(record: MemoryRecord) -> tuple[int, int]:
    return int(record.data.get("tries") or 0), int(record.data.get("wins") or 0)
