"""`harness launch` and `harness resume`."""

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from harness.cli.detach import nothing_started, start_detached
from harness.cli.display import Display, DisplayName, make_display
from harness.cli.mlebench_launch import NO_COMPETITION, MlebenchOptions, finished
from harness.cli.output import RunsDir, print_answer, runs_folder, say
from harness.clock import SystemClock
from harness.errors import HarnessError, ModelRefusedError, StoreError, UserError
from harness.run.budget import format_budget
from harness.run.checks import check_config
from harness.run.compose import open_run
from harness.run.config import BudgetConfig, RunConfig, load_config, read_saved
from harness.run.control import send
from harness.run.folder import RunFolder, find_run, live_process
from harness.run.orchestrator import Outcome, Run
from harness.run.prepare import create_folder, extended, saved_task, task_budget
from harness.run.views import read_run
from harness.tasks.base import Task
from harness.tasks.loader import load_task

JsonLines = Annotated[
    bool,
    Parameter(name="--json", negative=(), help="JSON Lines on stdout: launch, attempts, done."),
]
Detach = Annotated[
    bool,
    Parameter(
        negative=(), help="Run in a process of its own; return when it is up (log: launch.log)."
    ),
]
GOOD_ENDS = frozenset(
    {"evaluations", "hours", "tokens", "usd", "target", "quota", "stopped", "exhausted"}
)
DISPLAY_TICK_S = 0.25
NEEDED = {
    "agents_failed": "agents, and a memory, that work",
    "evaluator_error": "an evaluator and a sandbox that work, with space for their files",
}
"""By the reason of a bad end: what the run had to have."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """What can be said of a launch; everything else is in the configuration file."""

    agents: int | None = None
    """Number of agents."""
    evals: int | None = None
    """Budget: evaluations, the seed's included."""
    hours: float | None = None
    """Budget: wall time in hours."""
    tokens: int | None = None
    """Budget: tokens of all model calls."""
    budget_usd: float | None = None
    """Budget: US dollars for model calls."""
    target: float | None = None
    """End when this score is reached."""
    model: str | None = None
    """Model name at an OpenAI-compatible endpoint (OPENAI_BASE_URL, OPENAI_API_KEY)."""
    agent: str | None = None
    """offline, llm, or package.module:Class; by default llm when a model is named."""
    sandbox: str | None = None
    """auto, docker, bubblewrap or process."""
    unsafe: Annotated[bool, Parameter(negative=())] = False
    """Run code that a model wrote even where the sandbox does not isolate it."""
    search: str | None = None
    """progressive, greedy, islands, best_of_n or random."""
    memory: Literal["run", "task", "global"] | None = None
    """What is recalled: this run's records, the task's, or all."""
    slots: int | None = None
    """Evaluations at once; by default one for each CPU core."""
    seed: int | None = None
    """Seed of all random choices."""
    runs_dir: str | None = None
    """Folder that holds the runs."""

    def flags(self) -> dict[str, Any]:
        """Values by configuration key; None where nothing was said."""
        return {
            "agents": self.agents,
            "budget.evaluations": self.evals,
            "budget.hours": self.hours,
            "budget.tokens": self.tokens,
            "budget.usd": self.budget_usd,
            "target": self.target,
            "agent.model.name": self.model,
            "agent.kind": self.agent,
            "sandbox.provider": self.sandbox,
            "sandbox.unsafe": self.unsafe or None,
            "search.policy": self.search,
            "memory.scope": self.memory,
            "evaluators.slots": self.slots,
            "seed": self.seed,
            "runs_dir": self.runs_dir,
        }


NOTHING_SAID = LaunchOptions()


def launch(
    task: Annotated[
        str, Parameter(help="A library task (`harness task list`), a task folder, or mlebench:ID.")
    ],
    options: LaunchOptions = NOTHING_SAID,
    *,
    mlebench: MlebenchOptions = NO_COMPETITION,
    config: Annotated[Path | None, Parameter(help="YAML file; by default harness.yaml.")] = None,
    detach: Detach = False,
    display: DisplayName = "auto",
    json: JsonLines = False,
) -> int:
    """Improve a task with a team of agents."""
    loaded = load_task(mlebench.folder(task))
    if loaded.notes:
        say(
            f"{loaded.name} is made from {loaded.origin}; {len(loaded.notes)} of its settings mean "
            f"something else or nothing here: harness task check {task}"
        )
    given = load_config(options.flags(), file=config)
    settings = task_budget(loaded, given)
    if given.budget.unlimited:
        say(f"no budget given; the task's own: {format_budget(settings.budget)}")
    check_config(settings, loaded)
    folder = create_folder(loaded, settings, SystemClock())
    if detach:
        return start_detached(folder, (), fresh=True, json=json)
    screen = make_display("json" if json else display)
    try:
        return asyncio.run(_session(folder, loaded, settings, screen))
    except (UserError, ModelRefusedError):
        if nothing_started(folder):
            shutil.rmtree(folder.path)  # nothing was started, so nothing is lost
        raise


def resume(
    run: str = "latest",
    agent: str | None = None,
    *,
    evals: str | None = None,
    hours: str | None = None,
    tokens: str | None = None,
    budget_usd: str | None = None,
    runs_dir: RunsDir = None,
    detach: Detach = False,
    display: DisplayName = "auto",
    json: JsonLines = False,
) -> int:
    """Continue a run that was stopped or killed, or extend one that used its budget up.

    Of a live run that is paused, let it go on, or one agent of it.

    Parameters
    ----------
    run
        A run's folder, its id, or latest.
    agent
        Of a live run: only this agent.
    evals
        New total of evaluations, or +N more.
    hours
        New total of hours, or +N more.
    tokens
        New total of tokens, or +N more.
    budget_usd
        New total of US dollars, or +N more.
    display
        auto, live, plain, json or none.
    """
    folder = find_run(run, runs_folder(runs_dir))
    limits = {"evals": evals, "hours": hours, "tokens": tokens, "budget-usd": budget_usd}
    flags = {f"--{name}": text for name, text in limits.items() if text is not None}
    if (pid := live_process(folder)) is not None:
        _refuse_live(folder, pid, changed=bool(flags) or detach)
        print_answer(folder.id, send(folder, "resume", agent=agent), json=json)
        return 0
    if agent is not None:
        raise UserError(
            f"run {folder.id} is not running, so {agent!r} cannot be resumed alone",
            expected="a live run, or no agent",
            action=f"continue the whole run: harness resume {folder.id}",
        )
    _refuse_read_only(folder)
    task = saved_task(folder, SystemClock())
    settings = _extended(folder, flags)
    _refuse_spent(folder, settings)
    check_config(settings, task)
    if detach:
        given = [f"{name}={text}" for name, text in flags.items()]
        return start_detached(folder, given, fresh=False, json=json)
    screen = make_display("json" if json else display)
    return asyncio.run(_session(folder, task, settings, screen))


def _refuse_live(folder: RunFolder, pid: int, *, changed: bool) -> None:
    if changed:
        raise UserError(
            f"run {folder.id} is being run by process {pid}",
            expected="a run that has ended or was killed",
            action=f"change it as it runs: harness set {folder.id} budget.evaluations=+50, or end"
            f" it: harness stop {folder.id}",
        )


def _refuse_read_only(folder: RunFolder) -> None:
    """Found out by writing: root may do what the permissions forbid, but not on every mount."""
    try:
        with folder.lock.open("ab"):
            pass
        writable = os.access(folder.path, os.W_OK)
        reason = "its folder is read-only"
    except OSError as error:
        writable, reason = False, error.strerror or str(error)
    if not writable:
        raise UserError(
            f"run {folder.id} cannot be resumed in {folder.path}: {reason}",
            expected="a run folder that can be written",
            action=f"resume a copy: cp -r {folder.path} COPY; harness resume COPY",
        )


def _extended(folder: RunFolder, flags: Mapping[str, str]) -> RunConfig:
    saved = read_saved(folder.config)
    old = saved.budget
    extension = BudgetConfig(
        evaluations=_whole(_total("--evals", flags, old.evaluations)),
        hours=_total("--hours", flags, old.hours),
        tokens=_whole(_total("--tokens", flags, old.tokens)),
        usd=_total("--budget-usd", flags, old.usd),
    )
    return extended(saved, extension)


def _total(flag: str, flags: Mapping[str, str], old: float | None) -> float | None:
    text = flags.get(flag)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UserError(
            f"{flag} is {text!r}",
            expected="a new total such as 200, or an addition such as +100",
            action=f"give {flag} a positive number",
        )
    return value + (old or 0) if text.startswith("+") else value


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _refuse_spent(folder: RunFolder, config: RunConfig) -> None:
    view = read_run(folder)
    if view.reason is None:
        return  # killed before its end was recorded: a resume ends it properly
    limits = config.budget
    used = {
        "evaluations": (view.evaluations, limits.evaluations, "--evals"),
        "hours": (view.wall_s / 3600, limits.hours, "--hours"),
        "tokens": (view.tokens, limits.tokens, "--tokens"),
        "usd": (view.cost_usd or 0.0, limits.usd, "--budget-usd"),
    }
    for name, (value, limit, flag) in used.items():
        if limit is not None and value >= limit:
            raise UserError(
                f"run {folder.id} has used its budget up: {value:g} of {limit:g} {name}",
                expected="a budget with something left",
                action=f"harness resume {folder.id} {flag} +{limit:g}",
            )


async def _session(folder: RunFolder, task: Task, config: RunConfig, screen: Display) -> int:
    async with open_run(folder, task, config, SystemClock()) as run:
        _handle_signals(run)
        screen.started(run)
        run.core.listeners.append(screen.judged)
        ticking = asyncio.create_task(_tick(screen))
        try:
            outcome = await run.execute()
        except (sqlite3.OperationalError, OSError, StoreError) as error:
            raise _stopped(folder, error) from error
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            screen.close()
    screen.ended(outcome)
    code = _exit_code(outcome, folder)
    if code == 0:
        await finished(folder, task)
    return code


async def _tick(screen: Display) -> None:
    while True:
        await asyncio.sleep(DISPLAY_TICK_S)
        screen.tick()


def _handle_signals(run: Run) -> None:
    loop = asyncio.get_running_loop()
    aborting: list[asyncio.Task[None]] = []

    def interrupted() -> None:
        if not run.core.ending:
            say("draining: evaluations in flight finish; once more to stop at once")
            run.stop()
        elif not aborting:
            aborting.append(loop.create_task(run.abort()))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)


def _stopped(folder: RunFolder, error: Exception, reason: str = "error") -> HarnessError:
    needed = NEEDED.get(reason, "space and write access for the files of run and memory")
    return HarnessError(
        f"run {folder.id} stopped: {error}\n"
        f"  expected: {needed}\n"
        f"  to do:    see to that, then: harness resume {folder.path}"
    )


def _exit_code(outcome: Outcome, folder: RunFolder) -> int:
    if outcome.reason in GOOD_ENDS:
        return 0
    error = outcome.error
    if isinstance(error, UserError | ModelRefusedError):
        raise error
    if isinstance(error, HarnessError | sqlite3.OperationalError | OSError):
        raise _stopped(folder, error, outcome.reason) from error
    if error is not None:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
    return 1
