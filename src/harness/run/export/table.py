"""The flat table of a run: one row an attempt. Documented in docs/export.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harness.attempt import Attempt
from harness.clock import isoformat
from harness.run.export.source import Source, cleaned

Row = dict[str, Any]

METRIC = "metric_"
"""How the columns of a task's own metrics begin."""


class Kind(Enum):
    """What the cells of a column hold; each may be null, lists apart."""

    TEXT = "text"
    NUMBER = "number"
    COUNT = "count"
    FLAG = "flag"
    IDS = "ids"
    """A list of attempts' ids."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Table:
    """Every row has every column, in this order."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


_COLUMNS: dict[str, Kind] = {
    "run": Kind.TEXT, "task": Kind.TEXT, "direction": Kind.TEXT,
    "id": Kind.TEXT, "parents": Kind.IDS, "references": Kind.IDS, "duplicate_of": Kind.TEXT,
    "depth": Kind.COUNT, "agent": Kind.TEXT, "operator": Kind.TEXT, "status": Kind.TEXT,
    "charged": Kind.FLAG, "score": Kind.NUMBER, "gain": Kind.NUMBER, "best": Kind.FLAG,
    "directive": Kind.COUNT, "reason": Kind.TEXT, "model": Kind.TEXT,
    "created_at": Kind.TEXT, "evaluated_at": Kind.TEXT, "evaluation_s": Kind.NUMBER,
    "model_calls": Kind.COUNT, "model_s": Kind.NUMBER, "prompt_tokens": Kind.COUNT,
    "cached_tokens": Kind.COUNT, "completion_tokens": Kind.COUNT, "reasoning_tokens": Kind.COUNT,
    "cost_usd": Kind.NUMBER,
    "commit": Kind.TEXT, "tree": Kind.TEXT, "title": Kind.TEXT, "feedback": Kind.TEXT,
}  # fmt: skip
"""In the order of the files."""


def read_table(source: Source) -> Table:
    """The attempts of a run as a table; the columns of metrics last, by name."""
    measured: dict[str, None] = {}
    for attempt in source.view.attempts:
        if attempt.verdict is not None:
            measured.update(dict.fromkeys(attempt.verdict.metrics))
    metrics = sorted(measured)
    columns = [Column(name, kind) for name, kind in _COLUMNS.items()]
    columns += [Column(cleaned(METRIC + name), Kind.NUMBER) for name in metrics]
    return Table(tuple(columns), tuple(_rows(source, metrics)))


def _rows(source: Source, metrics: list[str]) -> Iterator[Row]:
    best = source.view.best
    for attempt in source.view.attempts:
        verdict = attempt.verdict
        found: Mapping[str, float] = verdict.metrics if verdict is not None else {}
        row = {
            **_identity(source, attempt),
            "best": best is not None and attempt.id == best.id,
            **_directive(source, attempt),
            **_times(attempt),
            **_usage(source, attempt),
            "commit": attempt.commit,
            "tree": attempt.tree,
            "title": attempt.title or None,
            "feedback": (verdict.feedback or None) if verdict is not None else None,
            **{METRIC + name: _number(found.get(name)) for name in metrics},
        }
        yield cleaned(row)


def _identity(source: Source, attempt: Attempt) -> Row:
    view = source.view
    return {
        "run": view.folder.id,
        "task": view.task,
        "direction": view.direction,
        "id": attempt.id,
        "parents": list(attempt.parents),
        "references": list(attempt.references),
        "duplicate_of": attempt.duplicate_of,
        "depth": source.depths[attempt.id],
        "agent": attempt.agent,
        "operator": attempt.operator.value,
        "status": attempt.status.value,
        "charged": attempt.verdict.charged if attempt.verdict is not None else None,
        "score": _number(attempt.score),
        "gain": source.gain(attempt),
    }


def _directive(source: Source, attempt: Attempt) -> Row:
    issued = source.issued.get(attempt.directive) if attempt.directive is not None else None
    return {
        "directive": attempt.directive,
        "reason": (issued.directive.reason or None) if issued is not None else None,
        "model": issued.model if issued is not None else None,
    }


def _times(attempt: Attempt) -> Row:
    ended, verdict = attempt.evaluated_at, attempt.verdict
    return {
        "created_at": isoformat(attempt.created_at),
        "evaluated_at": isoformat(ended) if ended is not None else None,
        "evaluation_s": _number(verdict.duration_s) if verdict is not None else None,
    }


def _usage(source: Source, attempt: Attempt) -> Row:
    account = source.usage.get(attempt.id)
    return {
        "model_calls": account.calls if account else 0,
        "model_s": account.latency_s if account else 0.0,
        "prompt_tokens": account.prompt_tokens if account else 0,
        "cached_tokens": account.cached_tokens if account else 0,
        "completion_tokens": account.completion_tokens if account else 0,
        "reasoning_tokens": account.reasoning_tokens if account else 0,
        "cost_usd": _number(account.cost_usd) if account else 0.0,
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
