"""Standing still: agents that may not go on for now, one or all of them."""

import asyncio
from dataclasses import dataclass

from harness.clock import Clock
from harness.ids import AgentId


@dataclass(frozen=True, slots=True)
class Pause:
    """Why, and until when (monotonic seconds; None: until somebody lets it go on)."""

    reason: str
    until: float | None


class Pauses:
    """Where agents wait before anything that costs. Belongs to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._agents: dict[AgentId, Pause] = {}
        self._all: Pause | None = None
        self._changed = asyncio.Event()

    @property
    def everyone(self) -> str | None:
        """Why the whole run stands still; None when it does not."""
        return None if self._all is None else self._all.reason

    def of(self, agent: AgentId) -> Pause | None:
        """The pause that holds an agent now."""
        own = self._agents.get(agent)
        if own is not None and own.until is not None and self._clock.monotonic() >= own.until:
            del self._agents[agent]
            own = None
        return self._all or own

    def pause(self, agent: AgentId | None, reason: str, *, seconds: float | None = None) -> None:
        """Hold an agent, or all of them."""
        until = None if seconds is None else self._clock.monotonic() + seconds
        if agent is None:
            self._all = Pause(reason, until)
        else:
            self._agents[agent] = Pause(reason, until)
        self._notify()

    def go_on(self, agent: AgentId | None) -> bool:
        """Let an agent, or the whole run and every agent, go on; whether anything was held."""
        if agent is not None:
            held = self._agents.pop(agent, None) is not None
        else:
            held = self._all is not None or bool(self._agents)
            self._all = None
            self._agents.clear()
        self._notify()
        return held

    async def wait(self, agent: AgentId) -> None:
        """Until the agent may go on."""
        while (pause := self.of(agent)) is not None:
            changed = self._changed
            left = None if pause.until is None else pause.until - self._clock.monotonic()
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                continue

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
