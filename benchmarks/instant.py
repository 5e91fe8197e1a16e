"""A proposer that takes no time: what remains is the harness's own work."""

import time

from harness.agents.base import AgentConfig, AgentContext

LATENCIES_S: list[float] = []
"""Seconds from each submission to its score."""


class InstantAgent:
    """Writes the directive's number into `value.json` and submits."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config

    async def run(self, context: AgentContext) -> None:
        while (assignment := await context.assignment()) is not None:
            number = assignment.directive.number
            await context.sandbox.write_file("value.json", str(number).encode())
            start = time.perf_counter()
            await context.submit(f"value {number}", key=str(number))
            LATENCIES_S.append(time.perf_counter() - start)
