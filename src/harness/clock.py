"""Time, injected so that runs can be replayed and clocks that jump can be tested."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one for dates that are written down, one for durations and deadlines."""

    def now(self) -> float:
        """Seconds since the epoch; what ages and orders are told by, so it must not jump."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


def _steady() -> float:
    """Seconds that only go forward, those of a machine that sleeps included where that is known."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


_ORIGIN = time.time() - _steady()


class SystemClock:
    """The machine's clocks. Dates are the date at the start of the process and the time since: who
    sets the machine's clock changes no order and no age in a live run."""

    def now(self) -> float:
        return _ORIGIN + _steady()

    def monotonic(self) -> float:
        return time.monotonic()


def isoformat(timestamp: float) -> str:
    """`timestamp` (seconds since the epoch) as ISO 8601 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(timestamp, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
