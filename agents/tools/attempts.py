"""Tools that make attempts and go back to them: submit, results, diff, checkout."""

from pydantic import Field

from harness.agents.prompts import verdict_text
from harness.agents.text import fence, one_line
from harness.agents.tools import outputs
from harness.agents.tools.base import Arguments, InterruptedToolError, Tool, ToolCall, ToolError
from harness.agents.tools.bench import Pending
from harness.attempt import Verdict
from harness.errors import SubmissionRefusedError
from harness.ids import AttemptId


class SubmitArguments(Arguments):
    title: str = Field(
        min_length=1, description="What you changed and why, in one line of at most 100 characters."
    )
    wait: bool = Field(
        default=True, description="Wait for the verdict; false: go on, and ask `results` later."
    )


async def _submit(call: ToolCall, arguments: SubmitArguments) -> str:
    title = one_line(arguments.title, limit=200) or "untitled"
    call.context.say(f"submit: {title[:80]}")
    try:
        try:
            submitted = await call.interruptible(
                call.context.submit(title, key=call.key, wait=arguments.wait)
            )
        except InterruptedToolError:
            # The key makes it the same attempt, recorded before or now.
            submitted = await call.context.submit(title, key=call.key, wait=False)
    except SubmissionRefusedError as error:
        raise ToolError(f"the submission was refused: {error}") from error
    call.submitted = True
    call.closed = submitted.closed
    attempt, verdict = submitted.attempt, submitted.verdict
    if verdict is None:
        pending = call.bench.pending
        if attempt.id not in [each.attempt for each in pending]:
            pending.append(Pending(attempt.id, title, call.key))
        return f"Attempt {attempt.id} is recorded. Its verdict is not there yet: ask `results`."
    text = verdict_text(attempt, verdict, call.context.graph)
    if submitted.closed:
        text += "\nToo many duplicates in a row: this directive is closed."
    return text


class ResultsArguments(Arguments):
    wait: bool = Field(default=False, description="Wait until there is at least one.")


async def _results(call: ToolCall, arguments: ResultsArguments) -> str:
    call.context.say("results")
    verdicts = await _judged(call, wait=False)
    if not verdicts and arguments.wait and call.bench.pending:
        call.context.say("waiting for results")
        try:
            verdicts = await call.interruptible(_judged(call, wait=True))
        except InterruptedToolError:
            verdicts = {}
    told = set(verdicts)
    call.bench.pending[:] = [each for each in call.bench.pending if each.attempt not in told]
    graph = call.context.graph
    parts = [verdict_text(graph[each], verdict, graph) for each, verdict in verdicts.items()]
    if call.bench.pending:
        waiting = ", ".join(each.attempt for each in call.bench.pending)
        parts.append(f"Not judged yet: attempts {waiting}.")
    return "\n\n".join(parts) or "No submission is waiting for its verdict."


async def _judged(call: ToolCall, *, wait: bool) -> dict[AttemptId, Verdict]:
    """Verdicts that the agent has not been told, in order of submission."""
    context, pending = call.context, call.bench.pending
    given = {
        each.attempt.id: each.verdict
        for each in await context.results(wait=wait)
        if each.verdict is not None
    }
    if wait and pending and not given and not _known(call):
        # After a restart the run may not count it among those that are waited for.
        first = pending[0]
        submitted = await context.submit(first.title, key=first.key)
        if submitted.verdict is not None:
            given[submitted.attempt.id] = submitted.verdict
    # The run gives each verdict once; one that was lost to a kill is in the graph.
    found = given | _known(call)
    return {each: found[each] for each in context.graph.attempts if each in found}


def _known(call: ToolCall) -> dict[AttemptId, Verdict]:
    """Verdicts of pending submissions, as the graph has them."""
    graph = call.context.graph
    known: dict[AttemptId, Verdict] = {}
    for each in call.bench.pending:
        identifier = AttemptId(each.attempt)
        if identifier not in graph:
            continue
        attempt = graph[identifier]
        first = attempt.duplicate_of
        verdict = graph[first].verdict if first is not None else attempt.verdict
        if verdict is not None:
            known[identifier] = verdict
    return known


class DiffArguments(Arguments):
    attempt: str = Field(default="", description="An attempt's id; empty for your workspace.")
    against: str = Field(
        default="",
        description="Attempt to compare `attempt` with; empty for its base. Your workspace is "
        "compared with the directive's base.",
    )


async def _diff(call: ToolCall, arguments: DiffArguments) -> str:
    call.context.say("diff")
    if not arguments.attempt:
        if arguments.against:
            raise ToolError("`against` goes with `attempt`; your workspace has its base only")
        try:
            changes = await call.context.changes()
        except SubmissionRefusedError as error:
            raise ToolError(f"your workspace cannot be compared: {error}") from error
        if not changes.strip():
            return "Your workspace is as its base: nothing has changed."
    else:
        attempt = call.attempt(arguments.attempt)
        if not arguments.against and not attempt.parents:
            raise ToolError(f"attempt {attempt.id} has no base: say what to compare it with")
        base = call.attempt(arguments.against).id if arguments.against else attempt.parents[0]
        changes = await call.context.diff(base, attempt.id)
        if not changes.strip():
            return f"Attempts {base} and {attempt.id} have the same files."
    shown = await call.shortened(changes)
    return fence(shown, "diff", limit=len(shown) + 1)


class CheckoutArguments(Arguments):
    attempt: str = Field(min_length=1, description="The attempt's id.")


async def _checkout(call: ToolCall, arguments: CheckoutArguments) -> str:
    attempt = call.attempt(arguments.attempt)
    call.context.say(f"checkout {attempt.id}")
    sandbox = call.context.sandbox
    stopped = await call.bench.jobs.stop()
    kept = await outputs.newest(sandbox)
    await call.context.checkout(attempt.id)
    await outputs.restore(sandbox, kept)
    call.bench.shell.cwd = ""
    ended = f" Background jobs were stopped: {', '.join(stopped)}." if stopped else ""
    return (
        f"Your workspace has the files of attempt {attempt.id} and nothing else; what you submit "
        f"from now on names it as a reference.{ended}"
    )


ATTEMPT_TOOLS = (
    Tool(
        "submit",
        "Submit your workspace as an attempt and see how its verdict compares. Uses up one "
        "evaluation of the team's budget.",
        SubmitArguments,
        _submit,
        waits=True,
        effects="keyed",
        studies=False,
    ),
    Tool(
        "results",
        "The verdicts of what you submitted without waiting.",
        ResultsArguments,
        _results,
        waits=True,
        effects="keyed",
        studies=False,
    ),
    Tool(
        "diff",
        "What you changed so far in your workspace, or the difference between two attempts.",
        DiffArguments,
        _diff,
    ),
    Tool(
        "checkout",
        "Put your workspace on the files of any attempt. What you have not submitted is lost.",
        CheckoutArguments,
        _checkout,
        effects="workspace",
        studies=False,
    ),
)
