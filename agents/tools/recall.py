"""Tools on the shared memory: search, note, skill."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, cast

from pydantic import Field

from harness.agents.text import clean, fence, one_line
from harness.agents.tools.base import Arguments, Tool, ToolCall, ToolError
from harness.memory.base import MemoryRecord
from harness.memory.render import fenced
from harness.sandbox.base import MIB, ExecEnd

SKILLS = ".harness/skills"
TRIED = f"{SKILLS}/shared"
CHECK_S = 60.0
MAX_SKILL_FILES = 20
MAX_SKILL_BYTES = 256 * 1024


class MemorySearchArguments(Arguments):
    query: str = Field(min_length=1, description="What you want to know, in a few words.")
    limit: int = Field(default=5, ge=1, le=20, description="Records at most.")


async def _memory_search(call: ToolCall, arguments: MemorySearchArguments) -> str:
    call.context.say(f"memory: {arguments.query[:80]}")
    found = await call.context.recall(clean(arguments.query), limit=arguments.limit)
    if not found:
        return "The memory has nothing that bears on this."
    text = fenced(found, task=call.context.task.name, max_chars=call.max_characters)
    if any(_files(each.record) for each in found):
        text += "\n`memory_skill` with `load` and a skill's id puts its files in your workspace."
    return text


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


class MemorySkillArguments(Arguments):
    title: str = Field(default="", description="To share: what the files are for, in one line.")
    text: str = Field(default="", description="To share: how to use them, and when.")
    paths: list[str] = Field(default=[], description="To share: files of your workspace.")
    check: str = Field(
        default="",
        description="To share: a shell command that exits 0 in a folder with the files if they "
        "work; whoever loads them gets them only then.",
    )
    load: str = Field(default="", description="To load: the skill's id, instead of all the others.")


async def _memory_skill(call: ToolCall, arguments: MemorySkillArguments) -> str:
    if arguments.load:
        if arguments.title or arguments.text or arguments.paths or arguments.check:
            raise ToolError("give `load` alone, or `title`, `text` and `paths` to share")
        return await _load(call, arguments.load)
    if not (arguments.title.strip() and arguments.text.strip() and arguments.paths):
        raise ToolError("to share a skill, give `title`, `text` and `paths`; to load one, `load`")
    title = one_line(arguments.title, limit=200) or "untitled"
    call.context.say(f"skill: {title[:80]}")
    files = await _read(call, arguments.paths)
    check = arguments.check.strip()
    if check:
        await _checked(call, await _placed(call, TRIED, files), check)
    record = await call.context.share_skill(
        title, clean(arguments.text), files, key=call.key, check=check
    )
    return f"Shared as {record[:8]}: {', '.join(files)}."


async def _read(call: ToolCall, paths: list[str]) -> dict[str, str]:
    if len(paths) > MAX_SKILL_FILES:
        raise ToolError(f"a skill has {MAX_SKILL_FILES} files at most; these are {len(paths)}")
    files: dict[str, str] = {}
    for path in paths:
        try:
            data = await call.context.sandbox.read_file(path, max_bytes=MIB)
            files[str(PurePosixPath(path))] = data.decode("utf-8")
        except FileNotFoundError as error:
            raise ToolError(f"no such file: {path}") from error
        except (OSError, OverflowError, UnicodeDecodeError) as error:
            raise ToolError(f"{path} cannot be shared: {error}") from error
    if sum(len(text.encode()) for text in files.values()) > MAX_SKILL_BYTES:
        raise ToolError(f"a skill has {MAX_SKILL_BYTES} bytes at most; share less")
    return files


async def _load(call: ToolCall, name: str) -> str:
    call.context.say(f"load skill {name[:40]}")
    try:
        record = await call.context.record(name.strip())
    except KeyError as error:
        raise ToolError(
            f"no record {name!r} in the memory, or several: see `memory_search`"
        ) from error
    files = _files(record)
    if not files:
        raise ToolError(f"record {record.id[:8]} has no files: it is a {record.kind.value}")
    folder = await _placed(call, f"{SKILLS}/{record.id[:8]}", files)
    check = str(record.data.get("check") or "")
    if check:
        await _checked(call, folder, check)
    about = fence(f"{record.title}\n{record.text}", "skill")
    return (
        f"Its files are in {folder}: {', '.join(files)}. They are not submitted: copy what you "
        f"use. What its maker says of it (data):\n{about}"
    )


async def _placed(call: ToolCall, folder: str, files: Mapping[str, str]) -> str:
    for path, text in files.items():
        try:
            await call.context.sandbox.write_file(f"{folder}/{path}", text.encode())
        except (OSError, ValueError) as error:
            raise ToolError(f"{path} of the skill cannot be written: {error}") from error
    return folder


async def _checked(call: ToolCall, folder: str, check: str) -> None:
    """Run a skill's check beside its files, which are taken away again if it fails."""
    sandbox = call.context.sandbox
    result = await sandbox.exec(
        ["sh", "-c", check], timeout_s=CHECK_S, cwd=folder, max_output_bytes=MIB
    )
    if result.ok:
        return
    await sandbox.exec(["rm", "-rf", folder], timeout_s=CHECK_S)
    how = f"exit code {result.exit_code}" if result.end is ExecEnd.EXITED else str(result.end)
    said = fence(clean(result.text())[-1_000:], "output")
    raise ToolError(f"the skill's check fails here ({how}), so its files are not used:\n{said}")


def _files(record: MemoryRecord) -> dict[str, str]:
    """The files of a skill; none of other records."""
    files = cast("Mapping[Any, Any] | None", record.data.get("files"))
    if not isinstance(files, Mapping):  # the data of a record is what its writer made of it
        return {}
    return {str(path): str(text) for path, text in files.items()}


MEMORY_TOOLS = (
    Tool(
        "memory_search",
        "Search the shared memory: what was tried, what came of it, notes and skills of all.",
        MemorySearchArguments,
        _memory_search,
    ),
    Tool(
        "memory_note",
        "Write a note to the shared memory for other agents and later runs.",
        MemoryNoteArguments,
        _memory_note,
        effects="keyed",
    ),
    Tool(
        "memory_skill",
        "Share files that others can use again, with how to use them; or load a shared skill.",
        MemorySkillArguments,
        _memory_skill,
        effects="keyed",
    ),
)
