"""Events: the append-only journal that a run's state is derived from."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 1
"""Version of every JSON document and record this package writes."""


class EventKind(StrEnum):
    """What can happen in a run. Old journals keep their kinds for ever: add, never rename."""

    LAUNCHED = "launched"
    RESUMED = "resumed"
    BUDGET_EXTENDED = "budget_extended"
    DIRECTIVE = "directive"
    SUBMITTED = "submitted"
    REQUEUED = "requeued"
    STARTED = "started"
    VERDICT = "verdict"
    LATE_VERDICT = "late_verdict"
    HOLDOUT = "holdout"
    REFUSED = "refused"
    INTERVENTION = "intervention"
    HEARTBEATS = "heartbeats"
    RECALL = "recall"
    MEMORY_WRITE = "memory_write"
    MODEL_CALL = "model_call"
    AGENT_STATE = "agent_state"
    TEAM = "team"
    MODEL_CHOICE = "model_choice"
    ENDPOINT = "endpoint"
    EGRESS = "egress"
    CRASH = "crash"
    COMMAND = "command"
    WARNING = "warning"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the journal.

    `sequence` is its place in the journal (from 1), `at` seconds since the epoch, `data` plain
    JSON.
    """

    sequence: int
    at: float
    kind: EventKind
    agent: str | None
    attempt: str | None
    data: Mapping[str, Any]
