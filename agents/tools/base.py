"""What a tool is: a name, a schema, and a function whose every failure is told to the model."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from harness.agents.base import AgentContext

MAX_OUTPUT_CHARACTERS = 12_000
_CONTEXT_SHARE = 0.15
_CHARACTERS_PER_TOKEN = 3


class Arguments(BaseModel):
    """Arguments of a tool. No field is optional in the sense of null: small grammars lack it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


ArgumentsType = TypeVar("ArgumentsType", bound=Arguments)


class ToolError(Exception):
    """The call did not do what was asked; the message tells the model what to do instead."""


@dataclass(slots=True)
class ToolCall:
    """One call: where it happens, and what identifies it across a crash.

    `submitted` and `closed` are set by `submit`: whether an attempt was recorded, and whether the
    directive is over.
    """

    context: AgentContext
    key: str
    submitted: bool = field(default=False, init=False)
    closed: bool = field(default=False, init=False)

    @property
    def max_characters(self) -> int:
        """Bound of an output, so that a few of them fit a small context window."""
        window = self.context.config.model.context_tokens * _CHARACTERS_PER_TOKEN
        return min(MAX_OUTPUT_CHARACTERS, int(window * _CONTEXT_SHARE))


@dataclass(frozen=True, slots=True)
class Tool(Generic[ArgumentsType]):
    """A tool of the agent."""

    name: str
    description: str
    arguments: type[ArgumentsType]
    run: Callable[[ToolCall, ArgumentsType], Awaitable[str]]
    """Does it; raises `ToolError` for what the model can put right."""

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
    """Pydantic's titles and the class's docstring say nothing to a model."""
    properties = schema.get("properties", {})
    return {
        "type": "object",
        "properties": {
            name: {key: value for key, value in about.items() if key != "title"}
            for name, about in properties.items()
        },
        "required": schema.get("required", []),
        "additionalProperties": False,
    }
