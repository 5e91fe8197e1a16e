"""Signs of life: since when each agent does what it does, whatever happens to the wall clock."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from harness.agents.heartbeats.base import Busy
from harness.clock import Clock
from harness.ids import AgentId

BUSY: Final[dict[str, Busy]] = {
    "thinking": "model",
    "running": "command",
    "evaluating": "verdict",
    "paused": "paused",
}
"""What an agent in one of these states waits for; in all others it works by itself."""

GONE = frozenset({"ended", "crashed", "retired"})
"""States of agents that take no part any more."""


class Seen(NamedTuple):
    """An agent's state as it was announced: a new one is a model or tool event."""

    state: str
    activity: str
    since: float


@dataclass(slots=True)
class _Life:
    seen: Seen
    event: float
    """When this state was first seen, in monotonic seconds."""
    sign: float
    """When it last submitted something, got a verdict, or waited for one."""


class Vitals:
    """Kept for the session: nothing that happened before a resume makes an agent look dead.

    Durations are by the monotonic clock, so neither a clock that is set nor a machine that slept
    makes anybody stall; they are short by up to the time between two looks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lives: dict[AgentId, _Life] = {}

    def look(self, agent: AgentId, seen: Seen) -> tuple[float, float]:
        """Seconds since the agent's last event, and since its last submission or verdict."""
        now = self._clock.monotonic()
        life = self._lives.setdefault(agent, _Life(seen, now, now))
        if life.seen != seen:
            life.seen, life.event = seen, now
        if BUSY.get(seen.state) in ("verdict", "paused"):
            life.sign = now
        return now - life.event, now - life.sign

    def sign(self, agent: AgentId) -> None:
        """The agent submitted something, or got a verdict."""
        if agent in self._lives:
            self._lives[agent].sign = self._clock.monotonic()
