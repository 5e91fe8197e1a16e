"""What a person or a program sees while a run is live."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

from harness.attempt import Attempt, Operator, Status, better
from harness.cli.output import duration, format_score, money, print_record, say
from harness.clock import isoformat
from harness.events import SCHEMA_VERSION
from harness.run.budget import format_budget
from harness.run.config import RunConfig
from harness.run.orchestrator import Outcome, Run
from harness.run.views import attempt_document

DisplayName = Literal["auto", "live", "plain", "json", "none"]
PLAIN_EVERY_S = 10.0
SPARKS = "▁▂▃▄▅▆▇█"


class Display(Protocol):
    """Told what happens; never raises."""

    def started(self, run: Run) -> None: ...
    def judged(self, attempt: Attempt) -> None: ...
    def tick(self) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...

    def close(self) -> None:
        """Leave the terminal as it was; always called, `ended` only when the run came to an end."""
        ...


def make_display(name: DisplayName) -> Display:
    """`auto`: live on a terminal, plain otherwise (and with CI or NO_COLOR)."""
    if name == "auto":
        plain = "CI" in os.environ or "NO_COLOR" in os.environ or not sys.stdout.isatty()
        name = "plain" if plain else "live"
    if name == "live":
        from harness.cli.live import LiveDisplay

        return LiveDisplay()
    displays: dict[str, Callable[[], Display]] = {"json": JsonDisplay, "plain": PlainDisplay}
    return displays.get(name, SilentDisplay)()


class SilentDisplay:
    """Nothing."""

    def started(self, run: Run) -> None: ...
    def judged(self, attempt: Attempt) -> None: ...
    def tick(self) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def close(self) -> None: ...


class JsonDisplay(SilentDisplay):
    """JSON Lines: a `launch` record, one `attempt` record a verdict, a `done` record last."""

    def __init__(self) -> None:
        self._read = True
        # A thread of its own: a reader that is slow, or reads nothing, must not hold up the run.
        # Python waits for it at the end, as it would for a write.
        self._writer = ThreadPoolExecutor(1, "json")

    def started(self, run: Run) -> None:
        core = run.core
        self._run = core.folder.id
        self._print(
            {
                "schema_version": SCHEMA_VERSION,
                "type": "launch",
                "run": core.folder.id,
                "path": str(core.folder.path),
                "task": core.task.name,
                "agents": core.config.agent_count,
                "agent": core.config.agent_kind,
                "sandbox": core.capabilities.name,
                "budget": core.config.budget.model_dump(),
                "at": isoformat(core.clock.now()),
            }
        )

    def judged(self, attempt: Attempt) -> None:
        record = {"schema_version": SCHEMA_VERSION, "type": "attempt", "run": self._run}
        self._print(record | attempt_document(attempt))

    def ended(self, outcome: Outcome) -> None:
        self._print(done_record(self._run, outcome))

    def _print(self, record: Mapping[str, object]) -> None:
        self._writer.submit(self._write, record)

    def _write(self, record: Mapping[str, object]) -> None:
        """A reader that went away (`| head`) does not end the run."""
        if self._read:
            try:
                print_record(record)
            except BrokenPipeError:
                self._read = False
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class PlainDisplay(SilentDisplay):
    """A line for each new best, and one every ten seconds."""

    def started(self, run: Run) -> None:
        core = run.core
        self._run = run
        self._last = time.monotonic()
        say(
            f"run {core.folder.id}: {core.config.agent_count} {core.config.agent_kind} agents,"
            f" sandbox {core.capabilities.name}, budget {format_budget(core.config.budget)}"
        )
        for warning in core.capabilities.warnings:
            say(f"warning: {warning}")

    def judged(self, attempt: Attempt) -> None:
        core = self._run.core
        best = core.graph.best
        if attempt.status is Status.SCORED and best is not None and best.id == attempt.id:
            say(
                f"{core.budget.evaluations:>5}  {format_score(attempt.score):<14} {attempt.agent}"
                f"  {attempt.operator.value}: {attempt.title[:60]}"
            )
            self._last = time.monotonic()

    def tick(self) -> None:
        if time.monotonic() - self._last >= PLAIN_EVERY_S:
            self._last = time.monotonic()
            core = self._run.core
            best = core.graph.best
            say(
                f"{core.budget.evaluations:>5} evaluations in {duration(core.budget.wall_s)},"
                f" best {format_score(best.score if best else None)}"
            )

    def ended(self, outcome: Outcome) -> None:
        say("\n" + summary(self._run, outcome))


def done_record(run: str, outcome: Outcome) -> dict[str, object]:
    """The last record of `harness launch --json`."""
    best = outcome.best
    return {
        "schema_version": SCHEMA_VERSION,
        "type": "done",
        "run": run,
        "reason": outcome.reason,
        "evaluations": outcome.evaluations,
        "best": {"attempt": best.id, "score": best.score} if best else None,
        "tokens": outcome.tokens,
        "cost_usd": outcome.cost_usd if outcome.tokens else 0.0,
        "wall_s": round(outcome.wall_s, 3),
    }


def summary(run: Run, outcome: Outcome) -> str:
    """How it ended, against the seed and the published best, and what to try next."""
    core, best = run.core, outcome.best
    lines = [
        (
            f"ended: {outcome.reason} after {outcome.evaluations} evaluations,"
            f" {duration(outcome.wall_s)}, {money(outcome.cost_usd, outcome.tokens)}"
        )
    ]
    if best is not None and best.score is not None:
        lines.append(f"best   {format_score(best.score):<16} attempt {best.id} by {best.agent}")
        lines.append(f"seed   {format_score(outcome.seed.score):<16} {_gain(outcome)}")
    known = core.task.file.best_known
    if known is not None:
        share = ""
        if best is not None and best.score is not None and known.value:
            reached = better(core.task.direction, best.score, known.value)
            ratio = best.score / known.value
            share = f"{'beaten: ' if reached else ''}best / known = {ratio:.4f}"
        lines.append(f"known  {format_score(known.value):<16} {share}  ({known.source})")
    folder = core.folder
    name = folder.id if folder.path.parent == Path("runs").absolute() else str(folder.path)
    shown = best.id if best is not None else "0"
    dropped = sum(attempt.verdict is None for attempt in core.graph if not attempt.duplicate_of)
    if dropped:
        lines.append(f"{dropped} evaluations were dropped; resume makes up for them")
    lines += [
        f"run    {folder.path}",
        "next:",
        f"  harness report {name}",
        f"  harness show {name} {shown} --diff",
        f"  harness resume {name}{_extension(outcome, core.config)}",
    ]
    return "\n".join(lines)


def _extension(outcome: Outcome, config: RunConfig) -> str:
    """What would make a resume of a run that ended for its budget worth while."""
    budget = config.budget
    flags = {
        "evaluations": f" --evals +{max(50, outcome.evaluations)}",
        "hours": f" --hours +{budget.hours or 1:g}",
        "tokens": f" --tokens +{budget.tokens or 1}",
        "usd": f" --budget-usd +{budget.usd or 1:g}",
    }
    return flags.get(outcome.reason, "")


def _gain(outcome: Outcome) -> str:
    best = outcome.best
    seed = outcome.seed.score
    if best is None or best.score is None or not seed:
        return ""
    return f"best / seed = {best.score / seed:.3f}"


def named_directive(operator: Operator, base: str, references: Sequence[str]) -> str:
    """What an agent is asked to do, in a few characters."""
    return " + ".join([f"{operator.value} {base}", *references])


def sparkline(values: list[float], width: int) -> str:
    """`values` (at least one) as one line of blocks, `width` columns at most."""
    if len(values) > width:
        step = len(values) / width
        values = [values[int(index * step)] for index in range(width - 1)] + [values[-1]]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(SPARKS[round((value - low) / span * (len(SPARKS) - 1))] for value in values)
