"""Tools on the agent's own workspace: bash, read, write, edit."""

from pydantic import Field

from harness.agents.edit import EditError, replace_once
from harness.agents.text import clean, clip
from harness.agents.tools.base import Arguments, Tool, ToolCall, ToolError
from harness.sandbox.base import MIB, ExecEnd, ExecResult

_MAX_FILE_BYTES = 2 * MIB
_MAX_OUTPUT_BYTES = 4 * MIB
_DEFAULT_LINES = 400

_SHELL = ("sh", "-c", 'exec "$(command -v bash || command -v sh)" -c "$1"', "sh")
"""Runs its argument with bash where there is one."""


class BashArguments(Arguments):
    command: str = Field(min_length=1, description="Shell command; starts in the workspace.")
    timeout_s: float = Field(
        default=0.0, ge=0, description="Seconds until it is killed; 0 for the most allowed."
    )


async def _bash(call: ToolCall, arguments: BashArguments) -> str:
    most = call.context.config.command_timeout_s
    timeout_s = min(arguments.timeout_s or most, most)
    if "\0" in arguments.command:
        raise ToolError("the command contains a NUL character")
    call.context.say(f"bash: {' '.join(arguments.command.split())[:80]}")
    result = await call.context.sandbox.exec(
        [*_SHELL, arguments.command], timeout_s=timeout_s, max_output_bytes=_MAX_OUTPUT_BYTES
    )
    output = clip(clean(result.text()), call.max_characters).strip("\n")
    return (
        f"{output}\n[{_ending(result, timeout_s)}]" if output else f"[{_ending(result, timeout_s)}]"
    )


def _ending(result: ExecResult, timeout_s: float) -> str:
    if result.end is ExecEnd.EXITED:
        return f"exit code {result.exit_code}, {result.duration_s:.1f} s"
    if result.end is ExecEnd.TIMEOUT:
        return f"killed after {timeout_s:g} s: it did not end in time"
    why = f": {result.evidence}" if result.evidence else ""
    return f"killed ({result.end.value}){why}"


class ReadArguments(Arguments):
    path: str = Field(min_length=1, description="File, relative to the workspace.")
    start: int = Field(default=1, ge=1, description="First line.")
    end: int = Field(default=0, ge=0, description="Last line; 0 for 400 lines from `start`.")


async def _read(call: ToolCall, arguments: ReadArguments) -> str:
    call.context.say(f"read {arguments.path[:80]}")
    lines = (await _text(call, arguments.path)).splitlines()
    if not lines:
        return "[the file is empty]"
    end = min(arguments.end or arguments.start + _DEFAULT_LINES - 1, len(lines))
    if arguments.start > len(lines):
        raise ToolError(f"the file has {len(lines)} lines; `start` is {arguments.start}")
    if end < arguments.start:
        raise ToolError(f"`end` ({end}) is before `start` ({arguments.start})")
    shown = [f"{n:5d}\t{lines[n - 1]}" for n in range(arguments.start, end + 1)]
    note = f"\n[lines {arguments.start}-{end} of {len(lines)}]"
    whole = arguments.start == 1 and end == len(lines)
    return clip(clean("\n".join(shown)), call.max_characters) + ("" if whole else note)


class WriteArguments(Arguments):
    path: str = Field(min_length=1, description="File, relative to the workspace.")
    content: str = Field(description="The whole new content.")


async def _write(call: ToolCall, arguments: WriteArguments) -> str:
    call.context.say(f"write {arguments.path[:80]}")
    data = await _save(call, arguments.path, arguments.content)
    return f"Wrote {len(data)} bytes to {arguments.path}."


class EditArguments(Arguments):
    path: str = Field(min_length=1, description="File, relative to the workspace.")
    search: str = Field(
        description="Text to replace, copied from the file without line numbers; must be unique."
    )
    replace: str = Field(description="What to put in its place.")


async def _edit(call: ToolCall, arguments: EditArguments) -> str:
    call.context.say(f"edit {arguments.path[:80]}")
    text = await _text(call, arguments.path, exact=True)
    try:
        edited = replace_once(text, arguments.search, arguments.replace)
    except EditError as error:
        raise ToolError(f"{error}\nNothing was changed.") from error
    await _save(call, arguments.path, edited.text)
    note = "" if edited.exact else " (matched by its lines; white space differed)"
    return f"Edited {arguments.path}{note}."


async def _text(call: ToolCall, path: str, *, exact: bool = False) -> str:
    """The file as text; `exact` refuses what would not be written back as it was."""
    try:
        data = await call.context.sandbox.read_file(path, max_bytes=_MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise ToolError(f"no such file: {path}") from error
    except PermissionError as error:
        raise ToolError(f"{path} cannot be read: {error}") from error
    except OverflowError as error:
        raise ToolError(f"{path} is larger than {_MAX_FILE_BYTES} bytes: use bash") from error
    try:
        return data.decode("utf-8", "strict" if exact else "backslashreplace")
    except UnicodeDecodeError as error:
        raise ToolError(f"{path} is not UTF-8 text: use bash to change it") from error


async def _save(call: ToolCall, path: str, content: str) -> bytes:
    try:
        data = content.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ToolError("the text has lone surrogates and cannot be written as UTF-8") from error
    try:
        await call.context.sandbox.write_file(path, data)
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise ToolError(f"{path} cannot be written: {error}") from error
    return data


WORKSPACE_TOOLS = (
    Tool("bash", "Run a shell command in your workspace.", BashArguments, _bash),
    Tool("read", "Show a file with line numbers.", ReadArguments, _read),
    Tool("write", "Create a file or replace it as a whole.", WriteArguments, _write),
    Tool(
        "edit",
        "Replace one passage of a file. If `search` matches nothing or more than once, nothing is "
        "changed and you are told what is there.",
        EditArguments,
        _edit,
    ),
)
