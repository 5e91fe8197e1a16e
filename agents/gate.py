"""Who may call an endpoint now: how many at once, after which pause, and not while it is down.

**How many.** The gate opens with a few calls and lets one more in for each that succeeds, which
doubles the number every round trip, up to what is configured. A sign of overload (429, 5xx, no
answer in time) halves it; from there it grows by one each round trip. Calls that were sent before
the last halving say nothing new: a burst of refusals counts once.

**After which pause.** What an endpoint asks for (`Retry-After`) holds for all its callers.

**Not while it is down.** When connections fail, or the server does, several times in a row, the
gate closes: callers wait in `enter`, where they hold nothing. A probe goes out after growing
pauses; when it is answered, a few calls are let in, and the first that succeeds opens the gate. An
endpoint that never answered is not waited for: a wrong address is a mistake, not an outage.

Callers are let in by the number of their ticket: one that must try again does not lose its place.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import NamedTuple

from harness.clock import Clock, SystemClock

FIRST_LIMIT = 8
"""Calls at once in the beginning: 64 are reached in three round trips."""
TRIAL_LIMIT = 4
"""Calls at once after an outage."""
FAILURES_IN_A_ROW = 3
"""So many close the gate."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
_PAUSE_GROWTH = 1.5
"""An outage that lasts 20 s is noticed to be over within another 7 s at most."""
SHOWN_PAUSE_S = 10.0
"""A pause that the endpoint asked for is told to people from here on."""


class Outage(NamedTuple):
    """An endpoint that is not called at present: its address, since when (epoch), and why."""

    url: str
    since: float
    reason: str


class Outcome(Enum):
    """How a call ended, as far as it says something about the endpoint."""

    ANSWERED = "answered"
    """A usable answer."""
    ALIVE = "alive"
    """Something else that only a working server says: a refusal, an answer that does not parse."""
    BUSY = "busy"
    """It asks for fewer calls (429)."""
    LATE = "late"
    """No answer in time."""
    FAILED = "failed"
    """The server failed (5xx)."""
    UNREACHABLE = "unreachable"
    """No connection, or it broke."""


class Probe(Enum):
    """What an endpoint that was down says to a cheap question."""

    UP = "up"
    DOWN = "down"
    UNCLEAR = "unclear"
    """It answers with an error of the server: only a real call can tell."""


_OVERLOADED = frozenset({Outcome.BUSY, Outcome.LATE, Outcome.FAILED})
_DOWN = frozenset({Outcome.FAILED, Outcome.UNREACHABLE})

Listener = Callable[[Outage, bool], None]
"""Told of each change: the outage, and whether it is over."""


class _State(Enum):
    OPEN = "open"
    CLOSED = "closed"
    TRIAL = "trial"
    """The probe was answered; a few calls find out whether the endpoint works again."""


class Permit:
    """The right to make one call. `report` says how it ended; silence says nothing."""

    def __init__(self, gate: "Gate", number: int) -> None:
        self._gate = gate
        self.number = number

    def report(self, outcome: Outcome, *, wait_s: float | None = None, reason: str = "") -> None:
        """Tell the gate how the call ended; `wait_s` is what the endpoint asks all to wait."""
        self._gate.record(self.number, outcome, wait_s, reason)


class Gate:
    """One for each endpoint. Belongs to one event loop.

    Args:
        url: For people.
        most: Calls at once, at most.
        probe: Asks the endpoint something cheap.
        answered: Whether it is known to work, from an earlier session.
        listener: Told when callers begin and end to wait for the endpoint.
        clock: For dates; pauses are of the event loop's time.
        first_pause_s: Before the first probe; the following pauses grow.
        longest_pause_s: They grow up to this.
    """

    def __init__(
        self,
        url: str,
        most: int,
        *,
        probe: Callable[[], Awaitable[Probe]],
        answered: bool = False,
        listener: Listener | None = None,
        clock: Clock | None = None,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self.url = url
        self.answered = answered
        self.in_flight = 0
        self._most = most
        self._limit = float(min(FIRST_LIMIT, most))
        self._slow_start_until = float(most)
        self._probe = probe
        self._said_up = False
        self._listener = listener
        self._clock = clock or SystemClock()
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._state = _State.OPEN
        self._outage: Outage | None = None
        self._failures = 0
        self._pause_s = first_pause_s
        self._probing: asyncio.Task[None] | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._tickets = itertools.count(1)
        self._permits = itertools.count(1)
        self._last_permit = 0
        self._trial_from = 0
        self._halved_at = 0
        self._halvings = 0
        self._peak = 0
        self._peak_from = 0
        self._paused_until = 0.0
        self._wake: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> int:
        """Calls at once at present."""
        return max(1, min(int(self._limit), self._most))

    @property
    def waiting(self) -> int:
        """Callers that wait to be let in."""
        return sum(not future.done() for _, future in self._waiting)

    @property
    def outage(self) -> Outage | None:
        """Why callers wait for the endpoint, if they do."""
        return self._outage

    @property
    def said_up(self) -> bool:
        """Whether the last probe found a server that works: what fails then is the request."""
        return self._said_up

    @property
    def down(self) -> bool:
        """Whether what fails now fails because of the outage, not because of the call."""
        return self._state is not _State.OPEN

    def at_most(self, calls: int) -> None:
        """Never more than `calls` at once; of several such limits the smallest holds."""
        self._most = min(self._most, calls)

    def ticket(self) -> int:
        """A place in the queue, kept over the tries of one call."""
        return next(self._tickets)

    @asynccontextmanager
    async def enter(self, ticket: int) -> AsyncGenerator[Permit]:
        """Wait to be let in; the block is the call. Waits for the end of an outage too."""
        await self._admission(ticket)
        self._last_permit = next(self._permits)
        try:
            yield Permit(self, self._last_permit)
        finally:
            self.in_flight -= 1
            self._admit()

    async def _admission(self, ticket: int) -> None:
        admitted = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (ticket, admitted))
        self._admit()
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self.in_flight -= 1
            admitted.cancel()
            self._admit()
            raise

    def _admit(self) -> None:
        """Let in as many as there is room for, the oldest tickets first."""
        if self._state is _State.CLOSED:
            return
        left_s = self._paused_until - asyncio.get_running_loop().time()
        if left_s > 0:
            if (self._waiting or self._outage) and self._wake is None:
                self._wake = asyncio.get_running_loop().call_later(left_s, self._pause_over)
            return
        if self._state is _State.OPEN and self._outage is not None:
            self._over()
        while self._waiting and self.in_flight < self.limit:
            _, admitted = heapq.heappop(self._waiting)
            if not admitted.done():  # else its caller has given up
                self.in_flight += 1
                self._peak = max(self._peak, self.in_flight)
                admitted.set_result(None)

    def _pause_over(self) -> None:
        self._wake = None
        self._admit()

    def record(self, permit: int, outcome: Outcome, wait_s: float | None, reason: str) -> None:
        """How the call with the permit `permit` ended; called through `Permit.report`."""
        if outcome in _OVERLOADED:
            self._halve(permit)
        if outcome is Outcome.BUSY and wait_s is None and self._halvings > 1:
            # It says nothing about how long, and fewer calls were not enough.
            wait_s = min(self._first_pause_s * 2.0 ** (self._halvings - 2), self._longest_pause_s)
        if wait_s:
            self._pause(wait_s, reason)
        if outcome in _DOWN:
            self._failed(permit, reason)
        elif outcome is not Outcome.LATE:
            self._failures = 0
            if self._state is _State.TRIAL:
                self._reopen()
        if outcome is Outcome.ANSWERED:
            self.answered = True
            self._halvings = 0
            self._grow(permit)

    def _grow(self, permit: int) -> None:
        if permit > self._peak_from:  # a round trip is over
            self._peak, self._peak_from = self.in_flight, self._last_permit
        if self._peak * 2 <= self._limit:
            return  # the limit was not what held callers back, so nothing was learned of it
        step = 1.0 if self._limit < self._slow_start_until else 1.0 / self._limit
        self._limit = min(float(self._most), self._limit + step)

    def _halve(self, permit: int) -> None:
        if permit <= self._halved_at:
            return
        self._halved_at = self._last_permit
        self._halvings += 1
        self._limit = max(1.0, min(self._limit, float(self._most)) / 2)
        self._slow_start_until = self._limit

    def _pause(self, wait_s: float, reason: str) -> None:
        until = asyncio.get_running_loop().time() + wait_s
        if until <= self._paused_until:
            return
        self._paused_until = until
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if wait_s >= SHOWN_PAUSE_S and self._outage is None:
            self._began(f"it asks to wait {wait_s:.0f} s ({reason})")
        self._admit()

    def _failed(self, permit: int, reason: str) -> None:
        self._failures += 1
        if not self.answered or self._state is _State.CLOSED:
            return
        if self._state is _State.TRIAL:
            if permit > self._trial_from:
                self._close(reason)
        elif self._failures >= FAILURES_IN_A_ROW:
            self._pause_s = self._first_pause_s
            self._close(reason)

    def _close(self, reason: str) -> None:
        self._state = _State.CLOSED
        if self._outage is None:
            self._began(reason)
        self._probing = asyncio.get_running_loop().create_task(
            self._until_answered(), name=f"probe {self.url}"
        )

    async def _until_answered(self) -> None:
        while True:
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * _PAUSE_GROWTH, self._longest_pause_s)
            answer = await self._probe()
            if answer is not Probe.DOWN:
                break
        self._said_up = answer is Probe.UP
        self._state = _State.TRIAL
        self._trial_from = self._last_permit
        self._limit = 1.0 if answer is Probe.UNCLEAR else float(min(TRIAL_LIMIT, self._most))
        self._slow_start_until = float(self._most)
        self._admit()

    def _reopen(self) -> None:
        self._state = _State.OPEN
        self._over()
        self._admit()

    def _began(self, reason: str) -> None:
        self._outage = Outage(self.url, self._clock.now(), reason)
        if self._listener is not None:
            self._listener(self._outage, False)

    def _over(self) -> None:
        outage, self._outage = self._outage, None
        if outage is not None and self._listener is not None:
            self._listener(outage, True)

    async def close(self) -> None:
        """Stop probing; whoever waits is cancelled."""
        if self._wake is not None:
            self._wake.cancel()
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        for _, admitted in self._waiting:
            admitted.cancel()
