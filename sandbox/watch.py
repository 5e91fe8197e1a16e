"""Notices when a sandbox provider stops answering, and when it is back."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from harness.clock import Clock, SystemClock
from harness.sandbox.base import SandboxProvider

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 4.0
"""Between two questions: an outage's end is noticed within that."""


class ProviderOutage(NamedTuple):
    """Since when (epoch seconds) a provider does not answer, and what was heard instead."""

    since: float
    reason: str


Listener = Callable[[ProviderOutage, bool], None]
"""Told of each change: the outage, and whether it is over."""


class ProviderWatch:
    """Whoever has a sandbox fail asks here whether the sandbox failed or its provider is away.

    Belongs to one event loop. However many wait, the provider is asked once at a time.
    """

    def __init__(
        self,
        provider: SandboxProvider,
        *,
        listener: Listener | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._provider = provider
        self._listener = listener
        self._clock = clock or SystemClock()
        self._outage: ProviderOutage | None = None
        self._waiting: asyncio.Task[bool] | None = None

    @property
    def outage(self) -> ProviderOutage | None:
        """Why sandboxes are waited for, if they are."""
        return self._outage

    async def was_away(self, reason: str) -> bool:
        """Whether the provider does not answer; then this returns only when it does again."""
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._wait(reason))
        return await asyncio.shield(self._waiting)

    async def close(self) -> None:
        """Stop asking."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])

    async def _wait(self, reason: str) -> bool:
        if await self._provider.answers():
            return False
        self._outage = outage = ProviderOutage(self._clock.now(), reason)
        self._tell(outage, over=False)
        pause_s = FIRST_PAUSE_S
        while not await self._provider.answers():
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._outage = None
        self._tell(outage, over=True)
        return True

    def _tell(self, outage: ProviderOutage, *, over: bool) -> None:
        if self._listener is not None:
            self._listener(outage, over)
