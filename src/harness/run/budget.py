"""Budgets, enforced before anything is spent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from harness.agents.base import BudgetView, ModelCall, Usage
from harness.clock import Clock
from harness.errors import BudgetExhaustedError
from harness.run.config import BudgetConfig

MILLION = 1_000_000


class _Call:
    """A reserved model call."""

    def __init__(self) -> None:
        self.usage: Usage | None = None

    def settle(self, usage: Usage) -> None:
        self.usage = usage


class Budget:
    """What was spent, what is reserved, what is left. Belongs to the event loop.

    An evaluation is admitted before the tree is recorded and settled with its verdict, so a run
    ends at exactly its number of evaluations. A model call reserves its worst case; it waits while
    the reservations of others stand in its way and is refused only when it can never fit.
    """

    def __init__(
        self,
        limits: BudgetConfig,
        *,
        evaluations: int,
        usage: Usage,
        wall_before_s: float,
        clock: Clock,
    ) -> None:
        self.limits = limits
        self.evaluations = evaluations
        self.tokens = usage.prompt_tokens + usage.completion_tokens
        self.usd = usage.cost_usd
        self._admitted = 0
        self._reserved_tokens = 0
        self._reserved_usd = 0.0
        self._wall_before_s = wall_before_s
        self._clock = clock
        self._started = clock.monotonic()
        self._still_since: float | None = None
        self._still_s = 0.0
        self._changed = asyncio.Condition()

    @property
    def wall_s(self) -> float:
        """Seconds of all launches and resumes of the run together."""
        return self._wall_before_s + self.session_s

    @property
    def session_s(self) -> float:
        """Seconds since the launch or the last resume, pauses of the whole run left out."""
        now = self._clock.monotonic()
        still = self._still_s + (now - self._still_since if self._still_since is not None else 0.0)
        return now - self._started - still

    def stand_still(self, still: bool) -> None:
        """Stop the clock while the whole run is paused, or let it go on."""
        now = self._clock.monotonic()
        if still and self._still_since is None:
            self._still_since = now
        elif not still and self._still_since is not None:
            self._still_s += now - self._still_since
            self._still_since = None

    def spent(self) -> str | None:
        """The budget that is used up: `evaluations`, `hours`, `tokens` or `usd`."""
        limits = self.limits
        if limits.evaluations is not None and self.evaluations >= limits.evaluations:
            return "evaluations"
        if limits.hours is not None and self.wall_s >= limits.hours * 3600:
            return "hours"
        if limits.tokens is not None and self.tokens >= limits.tokens:
            return "tokens"
        if limits.usd is not None and self.usd is not None and self.usd >= limits.usd:
            return "usd"
        return None

    def progress(self) -> float:
        """The largest used share of any budget, in [0, 1]; 0 without budgets."""
        limits = self.limits
        shares = [0.0]
        if limits.evaluations is not None:
            shares.append(self.evaluations / limits.evaluations)
        if limits.hours is not None:
            shares.append(self.wall_s / (limits.hours * 3600))
        if limits.tokens is not None:
            shares.append(self.tokens / limits.tokens)
        if limits.usd is not None and self.usd is not None:
            shares.append(self.usd / limits.usd)
        return min(1.0, max(shares))

    def view(self) -> BudgetView:
        """What is left."""
        limits = self.limits
        return BudgetView(
            evaluations_left=_left(limits.evaluations, self.evaluations + self._admitted),
            seconds_left=None
            if limits.hours is None
            else max(0.0, limits.hours * 3600 - self.wall_s),
            tokens_left=_left(limits.tokens, self.tokens + self._reserved_tokens),
            usd_left=None
            if limits.usd is None or self.usd is None
            else max(0.0, limits.usd - self.usd - self._reserved_usd),
        )

    async def admit(self) -> None:
        """Take one evaluation out of the budget, waiting while others' may still be given back.

        Raises:
            BudgetExhaustedError: None is left.
        """
        limit = self.limits.evaluations
        if limit is None:
            self._admitted += 1
            return
        async with self._changed:
            await self._changed.wait_for(
                lambda: self.evaluations >= limit or self.evaluations + self._admitted < limit
            )
            if self.evaluations >= limit:
                raise BudgetExhaustedError("no evaluation is left in the budget")
            self._admitted += 1

    def readmit(self) -> None:
        """Count an evaluation that an earlier session admitted and a kill interrupted."""
        self._admitted += 1

    async def settle(self, *, charged: bool) -> None:
        """An admitted evaluation ended (or was none): charge it or give it back."""
        async with self._changed:
            self._admitted -= 1
            self.evaluations += int(charged)
            self._changed.notify_all()

    @asynccontextmanager
    async def model_call(self, worst: Usage) -> AsyncGenerator[ModelCall]:
        """Reserve the worst case of a call; what is settled inside replaces it.

        Raises:
            BudgetExhaustedError: It does not fit what is left.
        """
        tokens = worst.prompt_tokens + worst.completion_tokens
        usd = worst.cost_usd or 0.0
        if self.spent() == "hours":
            raise BudgetExhaustedError("the time of the run is used up", budget="hours")
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._fits(tokens, usd) or not self._fits_alone(tokens, usd)
            )
            if not self._fits(tokens, usd):
                kept = self.limits.tokens is None or self.tokens + tokens <= self.limits.tokens
                raise BudgetExhaustedError(
                    f"a model call of up to {tokens} tokens and {usd:.4f} USD does not fit the"
                    " budget that is left",
                    budget="usd" if kept else "tokens",
                )
            self._reserved_tokens += tokens
            self._reserved_usd += usd
        call = _Call()
        try:
            yield call
        finally:
            self._reserved_tokens -= tokens
            self._reserved_usd -= usd
            if call.usage is not None:
                self.tokens += call.usage.prompt_tokens + call.usage.completion_tokens
                cost = call.usage.cost_usd
                self.usd = None if self.usd is None or cost is None else self.usd + cost
            async with self._changed:
                self._changed.notify_all()

    async def extend(self, limits: BudgetConfig) -> None:
        """Replace the limits of a live run."""
        async with self._changed:
            self.limits = limits
            self._changed.notify_all()

    def _fits(self, tokens: int, usd: float) -> bool:
        return self._within(self._reserved_tokens + tokens, self._reserved_usd + usd)

    def _fits_alone(self, tokens: int, usd: float) -> bool:
        return self._within(tokens, usd)

    def _within(self, tokens: int, usd: float) -> bool:
        limits = self.limits
        return (limits.tokens is None or self.tokens + tokens <= limits.tokens) and (
            limits.usd is None or (self.usd or 0.0) + usd <= limits.usd
        )


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)


def format_budget(limits: BudgetConfig) -> str:
    """`120 evaluations, 2 h, 5.00 USD` for people."""
    parts: list[str] = []
    if limits.evaluations is not None:
        parts.append(f"{limits.evaluations} evaluations")
    if limits.hours is not None:
        parts.append(f"{limits.hours:g} h")
    if limits.tokens is not None:
        parts.append(f"{limits.tokens / MILLION:g} M tokens")
    if limits.usd is not None:
        parts.append(f"{limits.usd:.2f} USD")
    return ", ".join(parts) or "none"
