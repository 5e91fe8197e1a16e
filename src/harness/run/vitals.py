"""Signs of life: what each agent waits for, since when, and how long that may take."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.agents.heartbeats.base import Busy
from harness.clock import Clock
from harness.ids import AgentId


@dataclass(frozen=True, slots=True)
class Activity:
    """Something an agent waits for; `since` in monotonic seconds, `limit_s` its own limit."""

    what: Busy
    since: float
    limit_s: float | None


@dataclass(slots=True)
class _Life:
    event: float
    """The last model or tool event, in monotonic seconds."""
    sign: float
    """The last submission or verdict."""
    open: list[Activity] = field(default_factory=list[Activity])


@dataclass(frozen=True, slots=True)
class Pulsation:
    """An agent's signs of life now; durations in seconds."""

    busy: Busy
    busy_s: float
    busy_limit_s: float | None
    idle_s: float
    silent_s: float


class Vitals:
    """Kept for the session: nothing that happened before a resume makes an agent look dead.

    Durations are by the monotonic clock: one that is set cannot make anybody stall. Belongs to the
    event loop.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lives: dict[AgentId, _Life] = {}

    @contextmanager
    def busy(self, agent: AgentId, what: Busy, limit_s: float | None = None) -> Generator[None]:
        """The agent waits for `what` within the block, which may take `limit_s` seconds."""
        life = self._life(agent)
        activity = Activity(what, self._clock.monotonic(), limit_s)
        life.event = activity.since
        life.open.append(activity)
        try:
            yield
        finally:
            life.open.remove(activity)
            life.event = self._clock.monotonic()

    def event(self, agent: AgentId) -> None:
        """A model or tool event that takes no time worth watching."""
        self._life(agent).event = self._clock.monotonic()

    def sign(self, agent: AgentId) -> None:
        """The agent submitted something, or got a verdict."""
        life = self._life(agent)
        life.sign = life.event = self._clock.monotonic()

    def of(self, agent: AgentId) -> Pulsation:
        """The signs of life now. Of several activities the newest is what an agent waits for."""
        now, life = self._clock.monotonic(), self._life(agent)
        activity = life.open[-1] if life.open else None
        waiting = any(each.what in ("verdict", "paused") for each in life.open)
        return Pulsation(
            busy=activity.what if activity else "",
            busy_s=now - activity.since if activity else 0.0,
            busy_limit_s=activity.limit_s if activity else None,
            idle_s=now - life.event,
            silent_s=0.0 if waiting else now - life.sign,
        )

    def _life(self, agent: AgentId) -> _Life:
        now = self._clock.monotonic()
        return self._lives.setdefault(agent, _Life(now, now))
