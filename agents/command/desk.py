"""Where the calls of an external agent arrive, by MCP or by the `harness` command alike."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.agents.base import AgentContext
from harness.agents.heartbeats.base import Intervention
from harness.agents.text import clip, fence
from harness.agents.tools import TOOLS, Tool, ToolCall, run_tool
from harness.agents.tools.bench import Bench
from harness.errors import BudgetExhaustedError, HarnessError, InfrastructureError

OWN = frozenset({"bash", "jobs", "read", "write", "edit"})
"""What a coding agent has itself."""

_MAX_ARGUMENTS = 4 * 1024 * 1024
_MAX_CALLS = 16
_REMEMBERED = 256
_LOGGED_CHARACTERS = 4000
_NO_DIRECTIVE = "Error: no directive is open; end this conversation."
_OVER = "Error: {error}. The run is ending: end this conversation."


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call is answered with."""

    text: str
    error: bool = False


@dataclass(slots=True)
class Sitting:
    """One command run: what happened during it, and what it is to be ended for."""

    directive: int
    prefix: str
    """Of the calls' keys; another one for each command run."""
    submitted: bool = False
    closed: bool = False
    calls: int = 0
    carried: list[Intervention] = field(default_factory=list[Intervention])
    """Interventions that end the command; told with the next prompt."""
    failure: HarnessError | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the command is to be ended."""


class ToolDesk:
    """Runs the team's tools for one agent. Belongs to the event loop.

    A call with a key that is known is not made again: it gets the first one's answer. A call whose
    caller has gone is finished, and its answer is told with the next one.
    """

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._sitting: Sitting | None = None
        self._calls: dict[str, asyncio.Task[Answer]] = {}
        self._turns = asyncio.Semaphore(_MAX_CALLS)
        self._late: list[str] = []
        self._bench = Bench()
        self._number = 0

    def begin(self, directive: int, nonce: str) -> Sitting:
        """From now on calls belong to this command run."""
        prefix = f"{self._context.agent}/command/{directive}/{nonce}"
        self._sitting = Sitting(directive, prefix)
        return self._sitting

    async def end(self) -> None:
        """The command has ended: calls are refused, those at work are waited for."""
        self._sitting = None
        if pending := [task for task in self._calls.values() if not task.done()]:
            await asyncio.wait(pending)
        self._calls.clear()

    async def close(self) -> None:
        """Cut short what is at work."""
        self._sitting = None
        for task in self._calls.values():
            task.cancel()
        if self._calls:
            await asyncio.wait(self._calls.values())

    @staticmethod
    def tools() -> list[Tool[Any]]:
        return [tool for tool in TOOLS.values() if tool.name not in OWN]

    def help(self) -> str:
        """The tools, for whoever has no MCP."""
        return "\n".join(
            f"{tool.name} {json.dumps(tool.schema()['function']['parameters']['properties'])}\n"
            f"    {tool.description}"
            for tool in self.tools()
        )

    async def call(self, name: str, arguments: Mapping[str, Any], identifier: str) -> Answer:
        """Run a tool. `identifier` names the call within the command run."""
        sitting = self._sitting
        if sitting is None:
            return Answer(_NO_DIRECTIVE, error=True)
        key = f"{sitting.prefix}/{identifier}"
        task = self._calls.get(key)
        if task is None:
            task = asyncio.create_task(self._run(sitting, name, arguments, key))
            self._remember(key, task)
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._keep)
            raise
        return Answer(self._with_messages(sitting, answer.text), answer.error)

    def _remember(self, key: str, task: asyncio.Task[Answer]) -> None:
        self._calls[key] = task
        if len(self._calls) > _REMEMBERED:
            for old in [each for each, made in self._calls.items() if made.done()][:_MAX_CALLS]:
                del self._calls[old]

    def _keep(self, task: asyncio.Task[Answer]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._late.append(task.result().text)

    async def _run(
        self, sitting: Sitting, name: str, arguments: Mapping[str, Any], key: str
    ) -> Answer:
        written = json.dumps(dict(arguments))
        if name in OWN or len(written) > _MAX_ARGUMENTS:
            return Answer(f"Error: there is no tool `{name[:80]}` with such arguments", error=True)
        began = time.monotonic()
        sitting.calls += 1
        self._number += 1
        made = ToolCall(self._context, key, self._number, self._bench)
        async with self._turns:
            text = await self._guarded(sitting, made, name, written)
        sitting.submitted = sitting.submitted or made.submitted
        self._context.log(
            {
                "type": "tool",
                "name": name,
                "arguments": clip(written, _LOGGED_CHARACTERS),
                "key": key,
                "duration_s": time.monotonic() - began,
                "message": {"role": "tool", "tool_call_id": key, "content": text},
            }
        )
        if made.closed:
            sitting.closed = True
            sitting.over.set()
        return Answer(text, text.startswith("Error: "))

    async def _guarded(self, sitting: Sitting, made: ToolCall, name: str, arguments: str) -> str:
        try:
            return await run_tool(made, name, arguments)
        except (BudgetExhaustedError, InfrastructureError) as error:
            # Told to the agent here, and raised by whoever waits for the command's end.
            self.fail(sitting, error)
            return _OVER.format(error=error)

    @staticmethod
    def fail(sitting: Sitting, error: HarnessError) -> None:
        """The command is to be ended for an error."""
        sitting.failure = sitting.failure or error
        sitting.over.set()

    def exhausted(self, error: BudgetExhaustedError) -> None:
        """A model call does not fit the budget."""
        if self._sitting is not None:
            self.fail(self._sitting, error)

    def _with_messages(self, sitting: Sitting, text: str) -> str:
        """An answer with what waits for the agent: late answers, heartbeats, words of the user."""
        parts = [text]
        late, self._late = self._late, []
        parts += [f"An earlier call has been answered:\n{fence(each, 'answer')}" for each in late]
        for intervention in self._context.interventions():
            if intervention.action not in ("pivot", "restart") and not intervention.urgent:
                parts.append(told(self._context, intervention))
            else:
                sitting.carried.append(intervention)
                sitting.over.set()
        return "\n\n".join(parts)


def told(context: AgentContext, intervention: Intervention) -> str:
    """An intervention as text for the agent, which is logged."""
    text = f"A message to you ({intervention.rule}):\n{fence(intervention.text, 'message')}"
    message = {"role": "user", "content": text, "harness": "heartbeat"}
    context.log({"type": "user", "message": message, "rule": intervention.rule})
    return text
