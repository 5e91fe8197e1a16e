"""Tools on the files of the agent's own workspace: read, write, edit."""

from pydantic import Field

from harness.agents.edit import Block, EditError, apply_blocks, parse_blocks
from harness.agents.text import clean, clip
from harness.agents.tools.base import Arguments, Tool, ToolCall, ToolError
from harness.sandbox.base import MIB

_MAX_FILE_BYTES = 8 * MIB
_DEFAULT_LINES = 400


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
    text = clip(clean("\n".join(shown)), call.max_characters, "read fewer lines at once")
    return text + ("" if whole else note)


class WriteArguments(Arguments):
    path: str = Field(min_length=1, description="File, relative to the workspace.")
    content: str = Field(description="The whole new content.")


async def _write(call: ToolCall, arguments: WriteArguments) -> str:
    call.context.say(f"write {arguments.path[:80]}")
    data = await _save(call, arguments.path, arguments.content)
    return f"Wrote {len(data)} bytes to {arguments.path}."


class Replacement(Arguments):
    search: str = Field(description="Text to replace; must be unique in the file.")
    replace: str = Field(description="What to put in its place; empty to delete.")


class EditArguments(Arguments):
    path: str = Field(min_length=1, description="File, relative to the workspace.")
    search: str = Field(
        default="",
        description="Text to replace, copied from the file without line numbers; must be unique. "
        "To insert, search for a line beside the place and repeat it in `replace`.",
    )
    replace: str = Field(default="", description="What to put in its place; empty to delete.")
    edits: list[Replacement] = Field(
        default=[], description="Several replacements at once, instead of `search` and `replace`."
    )
    blocks: str = Field(
        default="",
        description="The same as text: `<<<<<<< SEARCH`, lines, `=======`, new lines, "
        "`>>>>>>> REPLACE`, any number of times.",
    )


async def _edit(call: ToolCall, arguments: EditArguments) -> str:
    call.context.say(f"edit {arguments.path[:80]}")
    try:
        blocks = _blocks(arguments)
        fills = not any(block.search.strip() for block in blocks)
        text = await _text(call, arguments.path, exact=True, missing="" if fills else None)
        if call.repeated and _already(text, blocks):
            return (
                f"{arguments.path} has what this edit puts in already, from before the restart: "
                "nothing was done now."
            )
        edited = apply_blocks(text, blocks)
    except EditError as error:
        raise ToolError(f"{error}\nNothing was changed.") from error
    await _save(call, arguments.path, edited.text)
    count = f" in {len(blocks)} places" if len(blocks) > 1 else ""
    note = "" if edited.exact else " (matched by lines; white space differed)"
    return f"Edited {arguments.path}{count}{note}."


def _blocks(arguments: EditArguments) -> list[Block]:
    """The blocks, in whichever of the three forms they were given."""
    single = bool(arguments.search or arguments.replace)
    if single + bool(arguments.edits) + bool(arguments.blocks) > 1:
        raise EditError("give `search` and `replace`, or `edits`, or `blocks`, not several of them")
    if arguments.blocks:
        blocks = parse_blocks(arguments.blocks)
        for block in blocks:
            if block.path and block.path.removeprefix("./") != arguments.path.removeprefix("./"):
                raise EditError(
                    f"a block names {block.path}, `path` is {arguments.path}: one call for a file"
                )
        return blocks
    if arguments.edits:
        return [Block(each.search, each.replace) for each in arguments.edits]
    return [Block(arguments.search, arguments.replace)]


def _already(text: str, blocks: list[Block]) -> bool:
    """Whether a file looks as if these blocks, all or none, had been applied to it."""
    put = [block.replace for block in blocks if block.replace.strip()]
    return bool(put) and all(each in text for each in put)


async def _text(
    call: ToolCall, path: str, *, exact: bool = False, missing: str | None = None
) -> str:
    """The file as text; `exact` refuses what would not be written back as it was."""
    try:
        data = await call.context.sandbox.read_file(path, max_bytes=_MAX_FILE_BYTES)
    except FileNotFoundError as error:
        if missing is not None:
            return missing
        raise ToolError(f"no such file: {path}") from error
    except (PermissionError, NotADirectoryError) as error:
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
    except OSError as error:
        raise ToolError(f"{path} cannot be written: {error}") from error
    return data


WORKSPACE_TOOLS = (
    Tool("read", "Show a file with line numbers.", ReadArguments, _read),
    Tool(
        "write",
        "Create a file or replace it as a whole.",
        WriteArguments,
        _write,
        effects="workspace",
    ),
    Tool(
        "edit",
        "Replace passages of a file, all or none. If one matches nothing or more than one place, "
        "nothing is changed and you are told what is there.",
        EditArguments,
        _edit,
        effects="workspace",
    ),
)
