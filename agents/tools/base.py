"""What a tool is: a name, a schema, and a function whose every failure is told to the model."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from harness.agents.base import AgentContext
from harness.agents.tools import outputs
from harness.agents.tools.bench import Bench
from harness.attempt import Attempt
from harness.ids import AttemptId

MAX_OUTPUT_CHARACTERS = 12_000
_CONTEXT_SHARE = 0.15
_CHARACTERS_PER_TOKEN = 3


class Arguments(BaseModel):
    """Arguments of a tool. No field is optional in the sense of null: small grammars lack it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


ArgumentsType = TypeVar("ArgumentsType", bound=Arguments)
Result = TypeVar("Result")


class ToolError(Exception):
    """The call did not do what was asked; the message tells the model what to do instead."""


class InterruptedToolError(Exception):
    """An urgent intervention waits; the tool was cut short."""


@dataclass(slots=True)
class ToolCall:
    """One call: where it happens, and what identifies it across a crash.

    `submitted`, `closed` and `interrupted` are set by tools: whether an attempt was recorded,
    whether the directive is over, whether the call was cut short.
    """

    context: AgentContext
    key: str
    number: int = 0
    """Place of the call among all of the thread."""
    bench: Bench = field(default_factory=Bench)
    repeated: bool = False
    """Whether the call may have been started before, by a process that was killed."""
    submitted: bool = field(default=False, init=False)
    closed: bool = field(default=False, init=False)
    interrupted: bool = field(default=False, init=False)

    @property
    def max_characters(self) -> int:
        """Bound of an output, so that a few of them fit a small context window."""
        window = self.context.model.context_tokens * _CHARACTERS_PER_TOKEN
        return min(MAX_OUTPUT_CHARACTERS, int(window * _CONTEXT_SHARE))

    async def interruptible(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`, unless an urgent intervention comes first: then it is cancelled.

        Raises:
            InterruptedToolError: It was cut short.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        alarm = loop.create_task(_until_urgent(self.context))
        try:
            await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            for each in (task, alarm):
                each.cancel()
            # Not before both have ended: what the work started is gone by then.
            await asyncio.wait((task, alarm))
        if not task.cancelled() and task.exception() is None:
            return task.result()  # it came to its end all the same
        self.interrupted = True
        raise InterruptedToolError

    async def shortened(self, text: str) -> str:
        """`text` as the model gets it: of a long one head and tail, all of it in a file."""
        sandbox = self.context.sandbox
        return await outputs.shortened(sandbox, self.number, text, self.max_characters)

    def attempt(self, name: str) -> Attempt:
        """The attempt that the model names.

        Raises:
            ToolError: There is none.
        """
        identifier = AttemptId(name.strip().removeprefix("#"))
        if identifier not in self.context.graph:
            last = len(self.context.graph) - 1
            raise ToolError(f"no attempt {name!r}; ids go from 0 to {last}, see `board`")
        return self.context.graph[identifier]


async def _until_urgent(context: AgentContext) -> None:
    await context.urgent()


@dataclass(frozen=True, slots=True)
class Tool(Generic[ArgumentsType]):
    """A tool of the agent."""

    name: str
    description: str
    arguments: type[ArgumentsType]
    run: Callable[[ToolCall, ArgumentsType], Awaitable[str]]
    """Does it; raises `ToolError` for what the model can put right."""

    waits: bool = False
    """Whether an urgent intervention cuts it short."""
    effects: Literal["none", "keyed", "workspace"] = "none"
    """`keyed`: a repetition with the same key has no effect; `workspace`: it may have one."""
    studies: bool = True
    """Whether it can be used in the research phase."""

    def schema(self) -> dict[str, Any]:
        """The tool as the chat API describes it."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": _without_titles(self.arguments.model_json_schema()),
            },
        }


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    """Pydantic's titles and the class's docstring say nothing to a model; references are put in."""
    definitions = schema.get("$defs", {})
    properties = schema.get("properties", {})
    return {
        "type": "object",
        "properties": {name: _plain(about, definitions) for name, about in properties.items()},
        "required": schema.get("required", []),
        "additionalProperties": False,
    }


def _plain(about: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in about:
        return _without_titles(definitions[about["$ref"].rpartition("/")[2]])
    plain = {key: value for key, value in about.items() if key != "title"}
    if "items" in plain:
        plain["items"] = _plain(plain["items"], definitions)
    return plain
