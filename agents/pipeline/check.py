"""A candidate's command is run once before an evaluation is spent on it."""

import asyncio
import contextlib
import shlex
from dataclasses import dataclass

from harness.agents.base import AgentContext, TaskView
from harness.agents.text import clip, fence
from harness.errors import SubmissionRefusedError
from harness.sandbox.base import ExecEnd, ExecResult

_OUTPUT_CHARACTERS = 5_000
_MISSING = 97

# The outputs are lost with the sandbox, so the same command looks for them.
_SCRIPT = """
{command} < /dev/null
code=$?
[ $code -eq 0 ] || exit $code
for path in {outputs}; do
    [ -e "$path" ] || {{ echo "missing output: $path" >&2; exit {missing}; }}
done
""".strip()


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check found. `cut`: an urgent message came first, nothing is known."""

    ok: bool
    report: str
    cut: bool = False


async def check(context: AgentContext) -> Checked:
    """Run the task's command on the workspace where candidates run; unscored.

    Where the task has a small part of its data, on that.

    A command that is still running at the agent's own limit, where that is shorter than the
    evaluation's, counts as fine: slow is not broken.

    Raises:
        SandboxUnavailableError: The sandbox, not the command, failed.
    """
    task = context.task
    if not task.produce:
        return Checked(ok=True, report="The task names no command that could be run before.")
    timeout_s = min(context.config.command_timeout_s, task.timeout_s)
    try:
        result = await _run(context, timeout_s)
    except SubmissionRefusedError as error:
        return Checked(ok=False, report=f"The files cannot be submitted: {error}")
    if result is None:
        return Checked(ok=False, report="", cut=True)
    if result.end is ExecEnd.TIMEOUT and timeout_s < task.timeout_s:
        return Checked(ok=True, report=f"It was still running after {timeout_s:g} s.")
    return Checked(ok=result.ok, report=_report(result, task, timeout_s))


async def _run(context: AgentContext, timeout_s: float) -> ExecResult | None:
    """The command's end, None when something urgent cut it short."""
    tried = asyncio.ensure_future(context.try_out(_command(context.task), timeout_s=timeout_s))
    urgent = asyncio.ensure_future(context.urgent())
    try:
        await asyncio.wait((tried, urgent), return_when=asyncio.FIRST_COMPLETED)
        return await tried if tried.done() else None
    finally:
        for each in (tried, urgent):
            if not each.done():
                each.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await each


def _command(task: TaskView) -> list[str]:
    """The task's command, and after it a look at whether its outputs are there."""
    command, outputs = shlex.join(task.trial), shlex.join(task.outputs)
    return ["sh", "-c", _SCRIPT.format(command=command, outputs=outputs, missing=_MISSING)]


def _report(result: ExecResult, task: TaskView, timeout_s: float) -> str:
    command = " ".join(task.trial)
    if result.end is ExecEnd.TIMEOUT:
        ending = f"was killed after {timeout_s:g} s, the evaluation's limit"
    elif result.end is not ExecEnd.EXITED:
        ending = f"was killed ({result.end.value}) {result.evidence}".rstrip()
    elif result.exit_code == _MISSING:
        ending = "ended without writing an output that is asked for"
    else:
        ending = f"ended with exit code {result.exit_code} after {result.duration_s:.1f} s"
    output = result.text().strip()
    quoted = fence(_tail(output), "output", _OUTPUT_CHARACTERS + 200) if output else "(no output)"
    return f"`{command}` {ending}.\n{quoted}"


def _tail(output: str) -> str:
    """Errors stand at the end: more of it than of the beginning."""
    if len(output) <= _OUTPUT_CHARACTERS:
        return output
    head = clip(output[: -_OUTPUT_CHARACTERS * 3 // 4], _OUTPUT_CHARACTERS // 4)
    return f"{head}\n{output[-_OUTPUT_CHARACTERS * 3 // 4 :]}"
