"""Budgets are kept exactly, whatever the interleaving."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.base import Usage
from harness.clock import SystemClock
from harness.errors import BudgetExhaustedError
from harness.run.budget import Budget, format_budget
from harness.run.config import BudgetConfig


def _budget(limits: BudgetConfig, usage: Usage | None = None) -> Budget:
    spent = usage or Usage(cost_usd=0.0)
    return Budget(limits, evaluations=0, usage=spent, wall_before_s=0.0, clock=SystemClock())


@given(
    limit=st.integers(1, 20),
    workers=st.integers(1, 6),
    charged=st.lists(st.booleans(), min_size=1, max_size=40),
)
def test_evaluations_are_used_up_exactly(limit: int, workers: int, charged: list[bool]) -> None:
    async def run() -> int:
        budget = _budget(BudgetConfig(evaluations=limit))
        outcomes = iter([*charged, *[True] * (limit + workers)])
        running = 0

        async def work() -> None:
            nonlocal running
            while True:
                try:
                    await budget.admit()
                except BudgetExhaustedError:
                    return
                running += 1
                assert budget.evaluations + running <= limit
                await asyncio.sleep(0)
                running -= 1
                await budget.settle(charged=next(outcomes))

        await asyncio.gather(*(work() for _ in range(workers)))
        return budget.evaluations

    assert asyncio.run(run()) == limit


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60)), min_size=1, max_size=30))
def test_tokens_never_exceed_the_budget(calls: list[tuple[int, int]]) -> None:
    """Each call reserves its worst case and settles at most that."""

    async def run() -> None:
        budget = _budget(BudgetConfig(tokens=100))
        refused: list[tuple[str, int]] = []

        async def call(worst: int, used: int) -> None:
            try:
                async with budget.model_call(Usage(prompt_tokens=worst)) as reserved:
                    await asyncio.sleep(0)
                    reserved.settle(Usage(prompt_tokens=min(worst, used), cost_usd=0.0))
            except BudgetExhaustedError as error:
                refused.append((error.budget, budget.tokens + worst))

        await asyncio.gather(*(call(worst, used) for worst, used in calls))
        assert budget.tokens <= 100
        assert all(name == "tokens" and needed > 100 for name, needed in refused)

    asyncio.run(run())


async def test_an_unknown_price_makes_the_cost_unknown() -> None:
    budget = _budget(BudgetConfig())
    async with budget.model_call(Usage(prompt_tokens=10)) as call:
        call.settle(Usage(prompt_tokens=10, cost_usd=None))
    assert budget.tokens == 10
    assert budget.usd is None


async def test_a_call_that_is_not_settled_gives_its_reservation_back() -> None:
    budget = _budget(BudgetConfig(tokens=10))
    with pytest.raises(ConnectionError):
        async with budget.model_call(Usage(prompt_tokens=10)):
            raise ConnectionError
    async with budget.model_call(Usage(prompt_tokens=10)):
        assert budget.view().tokens_left == 0
    assert budget.view().tokens_left == 10


def test_progress_is_the_largest_share() -> None:
    usage = Usage(prompt_tokens=30, cost_usd=0.5)
    budget = _budget(BudgetConfig(evaluations=10, tokens=100, usd=1.0), usage)
    assert budget.progress() == 0.5
    assert format_budget(budget.limits) == "10 evaluations, 0.0001 M tokens, 1.00 USD"
