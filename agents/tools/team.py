"""Tools towards the team: submit, the memory, the board, attempts."""

from collections.abc import Mapping

from pydantic import Field

from harness.agents.prompts import describe, feedback, standing, verdict_text
from harness.agents.text import clean, clip, fence, one_line
from harness.agents.tools.base import Arguments, Tool, ToolCall, ToolError
from harness.attempt import Attempt
from harness.errors import SubmissionRefusedError
from harness.ids import AttemptId
from harness.memory.render import fenced

_BOARD_ROWS = 10


class SubmitArguments(Arguments):
    title: str = Field(
        min_length=1, description="What you changed and why, in one line of at most 100 characters."
    )


async def _submit(call: ToolCall, arguments: SubmitArguments) -> str:
    title = one_line(arguments.title, limit=200) or "untitled"
    call.context.say(f"submit: {title[:80]}")
    try:
        submitted = await call.context.submit(title, key=call.key)
    except SubmissionRefusedError as error:
        raise ToolError(f"the submission was refused: {error}") from error
    call.submitted = True
    call.closed = submitted.closed
    assert submitted.verdict is not None, "it was waited for"
    text = verdict_text(submitted.attempt, submitted.verdict, call.context.graph)
    if submitted.closed:
        text += "\nToo many duplicates in a row: this directive is closed."
    return text


class MemorySearchArguments(Arguments):
    query: str = Field(min_length=1, description="What you want to know, in a few words.")
    limit: int = Field(default=5, ge=1, le=20, description="Records at most.")


async def _memory_search(call: ToolCall, arguments: MemorySearchArguments) -> str:
    call.context.say(f"memory: {arguments.query[:80]}")
    found = await call.context.recall(clean(arguments.query), limit=arguments.limit)
    if not found:
        return "The memory has nothing that bears on this."
    return fenced(found, task=call.context.task.name, max_chars=call.max_characters)


class MemoryNoteArguments(Arguments):
    title: str = Field(min_length=1, description="The finding in one line.")
    text: str = Field(
        min_length=1, description="What you found, which attempts show it, how sure you are."
    )


async def _memory_note(call: ToolCall, arguments: MemoryNoteArguments) -> str:
    call.context.say(f"note: {arguments.title[:80]}")
    title = one_line(arguments.title, limit=200) or "untitled"
    record = await call.context.note(title, clean(arguments.text), key=call.key)
    return f"Noted as {record[:8]}."


class BoardArguments(Arguments):
    agent: str = Field(default="", description="Only this agent's attempts; empty for all.")


async def _board(call: ToolCall, arguments: BoardArguments) -> str:
    call.context.say("board")
    graph = call.context.graph
    attempts = [a for a in graph if not arguments.agent or a.agent == arguments.agent]
    if not attempts:
        known = sorted({attempt.agent for attempt in graph})
        raise ToolError(f"no attempts of {arguments.agent!r}; agents: {', '.join(known)}")
    ranked = sorted(
        (attempt for attempt in attempts if attempt.score is not None),
        key=lambda attempt: attempt.score or 0.0,
        reverse=graph.direction == "maximize",
    )
    leaders = "\n".join(map(_row, ranked[:_BOARD_ROWS])) or "none scored"
    latest = "\n".join(map(_row, attempts[: -_BOARD_ROWS - 1 : -1]))
    board = f"Leaders ({graph.direction}):\n{leaders}\n\nLatest, newest first:\n{latest}"
    return f"{standing(graph)}\n{fence(board, 'board', call.max_characters)}"


def _row(attempt: Attempt) -> str:
    base = f" from {attempt.parents[0]}" if attempt.parents else ""
    return f"{attempt.id}{base}: {describe(attempt)}"


class ShowAttemptArguments(Arguments):
    attempt: str = Field(min_length=1, description="The attempt's id.")
    path: str = Field(default="", description="Show this file instead of the difference.")
    against: str = Field(
        default="", description="Attempt to compare with; empty for the one it expands."
    )


async def _show_attempt(call: ToolCall, arguments: ShowAttemptArguments) -> str:
    attempt = _attempt(call, arguments.attempt)
    call.context.say(f"show attempt {attempt.id}")
    files = await call.context.read_attempt(attempt.id)
    if arguments.path:
        if arguments.path not in files:
            raise ToolError(f"attempt {attempt.id} has no such file; it has: {_listed(files)}")
        text = files[arguments.path].decode("utf-8", "backslashreplace")
        return fence(text, "file", call.max_characters)
    parts = [f"{_row(attempt)}\nfiles: {_listed(files)}", feedback(attempt.verdict)]
    if arguments.against or attempt.parents:
        other = _attempt(call, arguments.against) if arguments.against else None
        base = other.id if other else attempt.parents[0]
        difference = await call.context.diff(base, attempt.id)
        parts.append(f"difference from attempt {base}:")
        parts.append(fence(difference or "none", "diff", call.max_characters))
    return "\n".join(part for part in parts if part)


def _attempt(call: ToolCall, name: str) -> Attempt:
    identifier = AttemptId(name.strip().removeprefix("#"))
    if identifier not in call.context.graph:
        last = len(call.context.graph) - 1
        raise ToolError(f"no attempt {name!r}; ids go from 0 to {last}, see `board`")
    return call.context.graph[identifier]


def _listed(files: Mapping[str, bytes]) -> str:
    return clip(", ".join(sorted(files)), 2000)


TEAM_TOOLS = (
    Tool(
        "submit",
        "Submit your workspace as an attempt, wait for its verdict, and see how it compares. Uses "
        "up one evaluation of the team's budget.",
        SubmitArguments,
        _submit,
    ),
    Tool(
        "memory_search",
        "Search the shared memory: what was tried, what came of it, notes of all agents.",
        MemorySearchArguments,
        _memory_search,
    ),
    Tool(
        "memory_note",
        "Write a note to the shared memory for other agents and later runs.",
        MemoryNoteArguments,
        _memory_note,
    ),
    Tool("board", "Show the leaderboard and the latest attempts.", BoardArguments, _board),
    Tool(
        "show_attempt",
        "Show an attempt's verdict, files and difference from its base or another attempt.",
        ShowAttemptArguments,
        _show_attempt,
    ),
)
