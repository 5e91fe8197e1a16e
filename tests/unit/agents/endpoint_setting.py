"""A scripted endpoint, a pool that asks it, and a ledger of what was reserved and settled."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from harness.agents.base import ModelCall, ModelConfig, Usage
from harness.agents.endpoints import EndpointPool, Outage
from harness.agents.model import Answer
from harness.testing.endpoint import Behaviour, Reply, Request, ScriptedEndpoint, text

HELLO = [{"role": "user", "content": "hello"}]
BASH: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Runs it.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}
DEADLINE_S = 30.0


class Ledger:
    """Keeps what is reserved at present, and all that was settled."""

    def __init__(self) -> None:
        self.open = 0
        self.reserved = 0
        self.settled: list[Usage] = []
        self.worst = Usage()

    @asynccontextmanager
    async def reserve(self, worst: Usage) -> AsyncGenerator[ModelCall]:
        self.open += 1
        self.reserved += 1
        self.worst = worst
        try:
            yield self
        finally:
            self.open -= 1

    def settle(self, usage: Usage) -> None:
        self.settled.append(usage)


class Setting:
    """An endpoint, a pool, a ledger, and what the pool told."""

    def __init__(self, endpoint: ScriptedEndpoint, config: Mapping[str, Any]) -> None:
        self.endpoint = endpoint
        self.config = {"name": "m", "base_url": endpoint.url, **config}
        self.ledger = Ledger()
        self.changes: list[tuple[Outage, bool]] = []
        self.learned: list[tuple[str, Mapping[str, Any]]] = []
        self.pool = self.new_pool()

    def new_pool(self, **more: Any) -> EndpointPool:
        return EndpointPool(
            {},
            on_change=lambda outage, over: self.changes.append((outage, over)),
            on_learned=lambda _, model, what, why: self.learned.append((f"{model}: {why}", what)),
            first_wait_s=0.002,
            **more,
        )

    def model(self, **config: Any) -> ModelConfig:
        return ModelConfig.model_validate({**self.config, **config})

    async def ask(self, tools: Sequence[dict[str, Any]] = (), **config: Any) -> Answer:
        client = self.pool.client(self.model(**config))
        return await client.complete(HELLO, tools, self.ledger.reserve)


@asynccontextmanager
async def setting(behaviour: Sequence[Reply] | Behaviour, **config: Any) -> AsyncGenerator[Setting]:
    with ScriptedEndpoint(behaviour) as endpoint:
        found = Setting(endpoint, config)
        async with asyncio.timeout(DEADLINE_S):
            yield found
        await found.pool.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def hi(_: Request) -> Reply:
    return text("hi")
