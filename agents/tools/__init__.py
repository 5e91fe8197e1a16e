"""The tools of the `llm` agent. What a model gets wrong is an answer to it, never an exception."""

import difflib
import json
from typing import Any, cast

import pydantic

from harness.agents.conversation import INVALID_ARGUMENTS
from harness.agents.text import clip
from harness.agents.text_protocol import problem_of
from harness.agents.tools.attempts import ATTEMPT_TOOLS
from harness.agents.tools.base import Arguments, Tool, ToolCall, ToolError
from harness.agents.tools.commands import COMMAND_TOOLS
from harness.agents.tools.recall import MEMORY_TOOLS
from harness.agents.tools.team import TEAM_TOOLS
from harness.agents.tools.workspace import WORKSPACE_TOOLS
from harness.redact import redact

__all__ = ["TOOLS", "Arguments", "Tool", "ToolCall", "ToolError", "run_tool", "tool_schemas"]

_ALL = (*COMMAND_TOOLS, *WORKSPACE_TOOLS, *ATTEMPT_TOOLS, *TEAM_TOOLS, *MEMORY_TOOLS)

TOOLS: dict[str, Tool[Any]] = {tool.name: tool for tool in cast("tuple[Tool[Any], ...]", _ALL)}
"""By name, in the order in which the model sees them."""

_REPEATED = (
    "(this call was repeated after a restart; its first run may have had effects in the workspace)"
)


def tool_schemas(*, research: bool = False) -> list[dict[str, Any]]:
    """The tools as the chat API describes them; with `research`, those of the warm start."""
    return [tool.schema() for tool in TOOLS.values() if tool.studies or not research]


async def run_tool(call: ToolCall, name: str, arguments: str, *, research: bool = False) -> str:
    """Run a tool with the arguments as the model wrote them; the answer to the model.

    Raises:
        BudgetExhaustedError: From `submit`.
        InfrastructureError: The sandbox or the memory failed.
    """
    if (problem := problem_of(arguments)) is not None:
        return f"Error: {problem}"
    try:
        tool = _find(name, research=research)
        parsed = _parse(tool, arguments)
    except ToolError as error:
        return f"Error: {error}"
    try:
        answer = await tool.run(call, parsed)
    except ToolError as error:
        answer = f"Error: {error}"
    if call.repeated and tool.effects == "workspace":
        answer = f"{answer}\n{_REPEATED}"
    # Conversations are kept and sent away.
    return redact(answer)


def _find(name: str, *, research: bool) -> Tool[Any]:
    if name in TOOLS:
        if research and not TOOLS[name].studies:
            raise ToolError(f"`{name}` comes with the first directive; now read and write notes")
        return TOOLS[name]
    near = difflib.get_close_matches(name, TOOLS, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    raise ToolError(f"there is no tool `{name[:80]}`.{hint} The tools are: {', '.join(TOOLS)}")


def _parse(tool: Tool[Any], arguments: str) -> Arguments:
    given = _decode(tool, arguments)
    try:
        return cast(Arguments, tool.arguments.model_validate(given))
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}"
            for problem in error.errors()
        )
        expected = json.dumps(tool.schema()["function"]["parameters"]["properties"])
        raise ToolError(
            f"wrong arguments for `{tool.name}`: {problems}. It takes: {expected}"
        ) from error


def _decode(tool: Tool[Any], arguments: str) -> object:
    try:
        given: Any = json.loads(arguments)
        if isinstance(given, dict) and INVALID_ARGUMENTS in given:
            arguments = str(cast("dict[str, Any]", given)[INVALID_ARGUMENTS])
            given = json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise ToolError(
            f"the arguments of `{tool.name}` are not JSON ({error}): {clip(arguments, 300)}"
        ) from error
    return cast(object, given)
