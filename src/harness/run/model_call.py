"""Model calls: reserved before, recorded after."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType

from harness.agents.base import ModelCall, Usage
from harness.ids import AgentId
from harness.run.core import Core


class RecordedCall:
    """A call that is charged to the budget and written to the store."""

    def __init__(self, core: Core, agent: AgentId, directive: int | None, worst: Usage) -> None:
        self._core = core
        self._agent = agent
        self._directive = directive
        self._reserved: AbstractAsyncContextManager[ModelCall] = core.budget.model_call(worst)
        self._call: ModelCall | None = None

    async def __aenter__(self) -> "RecordedCall":
        await self._core.hold(self._agent)
        self._call = await self._reserved.__aenter__()
        limit_s = self._core.roster.model(self._agent).timeout_s
        self._core.mark(self._agent, "thinking", limit_s)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._core.mark(self._agent, "working")
        return await self._reserved.__aexit__(kind, error, traceback)

    def settle(self, usage: Usage) -> None:
        assert self._call is not None, "settle() belongs inside the block"
        self._call.settle(usage)
        self._core.store.accounts.model_call(self._agent, self._directive, usage)
