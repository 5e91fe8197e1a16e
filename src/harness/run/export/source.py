"""What every format of an export reads: one snapshot of a run, of live, dead and copied ones."""

import math
from bisect import bisect_right
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

from harness.attempt import NOT_CHARGED, UNFINISHED, Attempt, Direction
from harness.ids import AttemptId
from harness.redact import redact
from harness.run import rows
from harness.run.accounts import Account
from harness.run.folder import RunFolder
from harness.run.reading import reading
from harness.run.usage import read_usage
from harness.run.views import RunView, read_run
from harness.sandbox.repository import Repository
from harness.search.base import Directive

Json = TypeVar("Json")


@dataclass(frozen=True, slots=True)
class Issued:
    """A directive, to whom it went, and when (seconds since the epoch)."""

    directive: Directive
    agent: str
    created_at: float
    model: str | None


@dataclass(frozen=True)
class Source:
    """A run with its trees; `usage` holds the model calls that led to each attempt."""

    view: RunView
    issued: Mapping[int, Issued]
    usage: Mapping[AttemptId, Account]
    repository: Repository

    @cached_property
    def by_id(self) -> Mapping[AttemptId, Attempt]:
        """The attempts by their ids."""
        return {attempt.id: attempt for attempt in self.view.attempts}

    @cached_property
    def depths(self) -> Mapping[AttemptId, int]:
        """How many parents lie above each attempt; 0 for the seed."""
        found: dict[AttemptId, int] = {}
        for attempt in self.view.attempts:  # parents come first
            parent = self.parent(attempt)
            found[attempt.id] = found[parent.id] + 1 if parent is not None else 0
        return found

    def parent(self, attempt: Attempt) -> Attempt | None:
        """What an attempt expands; None for the seed."""
        return self.by_id[attempt.parents[0]] if attempt.parents else None

    def gain(self, attempt: Attempt) -> float | None:
        """`gain_over` its parent; None for the seed."""
        parent = self.parent(attempt)
        return None if parent is None else gain_over(self.view.direction, attempt, parent)

    def open_at(self, agent: str, at: float) -> Issued | None:
        """The newest directive an agent had been given by then."""
        given = self._by_agent.get(agent, [])
        count = bisect_right(given, at, key=lambda each: each.created_at)
        return given[count - 1] if count else None

    def led_to(self, issued: Issued, at: float) -> Attempt | None:
        """What a step of a directive led to: the directive's first submission after it."""
        made = self._by_directive.get(issued.directive.number, ())
        return next((attempt for attempt in made if attempt.created_at >= at), None)

    @cached_property
    def _by_agent(self) -> Mapping[str, list[Issued]]:
        found: dict[str, list[Issued]] = {}
        for each in self.issued.values():
            found.setdefault(each.agent, []).append(each)
        return found

    @cached_property
    def _by_directive(self) -> Mapping[int, list[Attempt]]:
        found: dict[int, list[Attempt]] = {}
        for attempt in self.view.attempts:
            if attempt.directive is not None:
                found.setdefault(attempt.directive, []).append(attempt)
        return found


@contextmanager
def open_source(folder: RunFolder) -> Generator[Source]:
    """Read a run.

    Raises:
        StoreError: Its files are missing, damaged or of another version.
    """
    view = read_run(folder)
    repository = Repository.open(folder.repository)
    try:
        # After the attempts: what they answer is there, and newer ones do no harm.
        yield Source(view, _issued(folder), read_usage(folder).attempts, repository)
    finally:
        repository.close()


def _issued(folder: RunFolder) -> dict[int, Issued]:
    with reading(folder.database) as db:
        return {
            row["number"]: Issued(
                rows.directive_from(row), row["agent"], row["created_at"], row["model"]
            )
            for row in db.execute("SELECT * FROM directives ORDER BY number")
        }


def gain_over(direction: Direction, attempt: Attempt, parent: Attempt) -> float | None:
    """How much better an attempt is than its parent, without the unit of the score.

    Both scored: the difference as a share of the larger of the two in magnitude, positive for the
    better. Only the attempt scored: 1. Only the parent: -1. Neither: 0. None while the attempt is
    not judged, and where it ended through no doing of its own (a duplicate, a lost sandbox …).
    """
    if attempt.status in UNFINISHED or attempt.status in NOT_CHARGED:
        return None
    new, old = attempt.score, parent.score
    if new is None or old is None:
        return float(new is not None) - float(old is not None)
    largest = max(abs(new), abs(old))
    if largest == 0.0:
        return 0.0
    # Divided before it is subtracted: the difference of two large numbers may be infinite.
    change = new / largest - old / largest
    return change if direction == "maximize" else -change


def cleaned(value: Json) -> Json:
    """Plain JSON whose texts hold no secret, and nothing that UTF-8 or JSON cannot write."""
    return cast(Json, _cleaned(value))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value).encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        items = cast(Mapping[str, Any], value).items()
        return {_cleaned(key): _cleaned(each) for key, each in items}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in cast(list[Any], value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
