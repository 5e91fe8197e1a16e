"""Tools that run commands: bash with its background jobs, and try."""

import re
from typing import Literal

from pydantic import Field

from harness.agents.text import clean
from harness.agents.tools.base import Arguments, InterruptedToolError, Tool, ToolCall, ToolError
from harness.agents.tools.jobs import MAX_JOBS, TIMEOUT_S, Job
from harness.agents.tools.shell import BASH
from harness.errors import SandboxUnavailableError, SubmissionRefusedError
from harness.sandbox.base import ExecEnd, ExecResult

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


class BashArguments(Arguments):
    command: str = Field(
        min_length=1,
        description="Shell command. Working directory and exported variables last from one command "
        "to the next.",
    )
    timeout_s: float = Field(
        default=0.0, ge=0, description="Seconds until it is killed; 0 for the most allowed."
    )
    background: str = Field(
        default="", description="A name: run it in the background, see `jobs`, and go on at once."
    )


async def _bash(call: ToolCall, arguments: BashArguments) -> str:
    if "\0" in arguments.command:
        raise ToolError("the command contains a NUL character")
    if arguments.background:
        return _start(call, arguments)
    most = call.context.config.command_timeout_s
    timeout_s = min(arguments.timeout_s or most, most)
    call.context.say(f"bash: {' '.join(arguments.command.split())[:80]}")
    shell = call.bench.shell
    before = shell.cwd
    try:
        result = await call.interruptible(
            shell.run(call.context.sandbox, arguments.command, timeout_s)
        )
    except InterruptedToolError:
        return "The command was killed before its end."
    ending = _ending(result, timeout_s)
    if result.end is ExecEnd.TIMEOUT and timeout_s == most:
        ending += "; what takes longer runs with `background`"
    place = f", now in {shell.cwd or 'the workspace'}" if shell.cwd != before else ""
    return await _shown(call, result, ending + place)


def _start(call: ToolCall, arguments: BashArguments) -> str:
    name, jobs = arguments.background, call.bench.jobs
    if not _NAME.fullmatch(name):
        raise ToolError("`background` is a name of letters, digits, `-`, `_` and `.`, at most 40")
    job = jobs.get(name)
    if job is not None and not job.task.done():
        raise ToolError(f"a job {name!r} is running: stop it, or take another name")
    if len(jobs.running) >= MAX_JOBS:
        raise ToolError(f"{MAX_JOBS} jobs are running ({', '.join(jobs.running)}): stop one first")
    call.context.say(f"background job {name}")
    limit = min(arguments.timeout_s or TIMEOUT_S, TIMEOUT_S)
    job = jobs.start(call.context.sandbox, call.bench.shell, name, arguments.command, limit)
    return (
        f"Started {name!r}; it writes to {job.log}. You are told when it ends. It is stopped after "
        f"{limit:g} s, by `jobs`, and when the workspace is loaded anew."
    )


async def _shown(call: ToolCall, result: ExecResult, ending: str) -> str:
    output = await call.shortened(clean(result.text()).strip("\n"))
    return f"{output}\n[{ending}]" if output else f"[{ending}]"


def _ending(result: ExecResult, timeout_s: float) -> str:
    if result.end is ExecEnd.EXITED:
        return f"exit code {result.exit_code}, {result.duration_s:.1f} s"
    if result.end is ExecEnd.TIMEOUT:
        return f"killed after {timeout_s:g} s: it did not end in time"
    why = f": {result.evidence}" if result.evidence else ""
    return f"killed ({result.end.value}){why}"


class JobsArguments(Arguments):
    action: Literal["list", "output", "stop", "wait"] = Field(
        default="list",
        description="`list` them all; of one: its `output` so far, `stop` it, `wait` for its end.",
    )
    name: str = Field(default="", description="Which job; not needed for `list`.")
    timeout_s: float = Field(default=0.0, ge=0, description="Of `wait`: seconds at most.")


async def _jobs(call: ToolCall, arguments: JobsArguments) -> str:
    jobs = call.bench.jobs
    call.context.say(f"jobs: {arguments.action} {arguments.name[:40]}")
    if arguments.action == "list":
        return "\n".join(f"{job.name}: {job.state()}" for job in jobs.all) or "No jobs."
    job = jobs.get(arguments.name)
    if job is None:
        known = ", ".join(each.name for each in jobs.all) or "none"
        raise ToolError(f"no job {arguments.name!r}; there are: {known}")
    if arguments.action == "stop":
        await jobs.stop(job.name)
    elif arguments.action == "wait":
        await _wait(call, job, arguments.timeout_s)
    if job.task.done():
        job.told = True
    output = await jobs.output(call.context.sandbox, job, call.max_characters)
    return f"{output.rstrip()}\n[{job.state()}]".lstrip("\n")


async def _wait(call: ToolCall, job: Job, timeout_s: float) -> None:
    most = call.context.config.command_timeout_s
    try:
        await call.interruptible(job.ended(min(timeout_s or most, most)))
    except InterruptedToolError:
        return


class TryArguments(Arguments):
    command: str = Field(
        min_length=1, description="Shell command; starts at the top of the submitted files."
    )
    timeout_s: float = Field(
        default=0.0, ge=0, description="Seconds until it is killed; 0 for what candidates get."
    )


async def _try(call: ToolCall, arguments: TryArguments) -> str:
    if "\0" in arguments.command:
        raise ToolError("the command contains a NUL character")
    most = call.context.task.timeout_s
    timeout_s = min(arguments.timeout_s or most, most)
    call.context.say(f"try: {' '.join(arguments.command.split())[:80]}")
    argv = ["sh", "-c", BASH, arguments.command, "bash"]
    try:
        result = await call.interruptible(call.context.try_out(argv, timeout_s=timeout_s))
    except InterruptedToolError:
        return "The command was killed before its end."
    except SubmissionRefusedError as error:
        raise ToolError(f"your workspace cannot be tried: {error}") from error
    except SandboxUnavailableError as error:
        raise ToolError(f"the place where candidates run failed: {error}; try again") from error
    return await _shown(call, result, _ending(result, timeout_s))


COMMAND_TOOLS = (
    Tool(
        "bash",
        "Run a shell command in your workspace.",
        BashArguments,
        _bash,
        waits=True,
        effects="workspace",
    ),
    Tool(
        "jobs",
        "Background jobs: list them, see the output of one, stop one, wait for one.",
        JobsArguments,
        _jobs,
        waits=True,
    ),
    Tool(
        "try",
        "Run a command on a fresh copy of what you would submit, where candidates run, with their "
        "limits and devices. Not scored, uses up no evaluation; nothing it writes is kept.",
        TryArguments,
        _try,
        waits=True,
    ),
)
