"""Tools towards the team: the board, attempts of others, one's own lane."""

from collections.abc import Mapping

from pydantic import Field

from harness.agents.prompts import describe, feedback, scale, standing, teammates
from harness.agents.text import clip, fence, one_line
from harness.agents.tools.base import Arguments, Tool, ToolCall, ToolError
from harness.attempt import Attempt

_BOARD_ROWS = 10
_MAX_FOCUS = 300
_MAX_ROLE = 1000


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
    team = teammates(call.context.team(), call.context.agent)
    parts = [
        f"{standing(graph)} The score: {scale(call.context.task, graph)}.",
        fence(board, "board", call.max_characters),
    ]
    return "\n".join([*parts, f"What the others try now:\n{team}"] if team else parts)


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
    attempt = call.attempt(arguments.attempt)
    call.context.say(f"show attempt {attempt.id}")
    files = await call.context.read_attempt(attempt.id)
    if arguments.path:
        if arguments.path not in files:
            raise ToolError(f"attempt {attempt.id} has no such file; it has: {_listed(files)}")
        text = files[arguments.path].decode("utf-8", "backslashreplace")
        return await _data(call, text, "file")
    parts = [f"{_row(attempt)}\nfiles: {_listed(files)}", feedback(attempt.verdict)]
    if arguments.against or attempt.parents:
        other = call.attempt(arguments.against) if arguments.against else None
        base = other.id if other else attempt.parents[0]
        difference = await call.context.diff(base, attempt.id)
        parts.append(f"difference from attempt {base}:")
        parts.append(await _data(call, difference or "none", "diff"))
    return "\n".join(part for part in parts if part)


async def _data(call: ToolCall, text: str, label: str) -> str:
    shown = await call.shortened(text)
    return fence(shown, label, limit=len(shown) + 1)


def _listed(files: Mapping[str, bytes]) -> str:
    return clip(", ".join(sorted(files)), 2000)


class FocusArguments(Arguments):
    focus: str = Field(default="", description="What you try now, in one line.")
    role: str = Field(
        default="", description="Your role in the team as you see it now, to replace the old one."
    )


async def _focus(call: ToolCall, arguments: FocusArguments) -> str:
    focus = one_line(arguments.focus, limit=_MAX_FOCUS)
    role = one_line(arguments.role, limit=_MAX_ROLE)
    if not focus and not role:
        raise ToolError("say what you try now (`focus`), or what your role is now (`role`)")
    call.context.say(f"focus: {(focus or role)[:80]}")
    call.context.claim(focus=focus or None, role=role or None)
    others = teammates(call.context.team(), call.context.agent)
    if not others:
        return "Claimed."
    return f"Claimed. If a teammate has the same lane, choose another:\n{others}"


TEAM_TOOLS = (
    Tool(
        "board",
        "The leaders, the latest attempts, and what your teammates try now.",
        BoardArguments,
        _board,
    ),
    Tool(
        "show_attempt",
        "An attempt's verdict, files and difference from its base or another attempt.",
        ShowAttemptArguments,
        _show_attempt,
    ),
    Tool(
        "focus",
        "Tell the team which lane you take, so that nobody else takes it.",
        FocusArguments,
        _focus,
    ),
)
