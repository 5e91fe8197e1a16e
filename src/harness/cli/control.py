"""`harness stop | pause | tell | set` on live runs, and `harness clean`."""

import asyncio
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import yaml
from cyclopts import Parameter

from harness.cli.output import JsonFlag, RunsDir, print_answer, print_json, runs_folder
from harness.errors import HarnessError, UserError
from harness.events import SCHEMA_VERSION
from harness.run.control import send
from harness.run.folder import all_runs, dead_drafts, find_run, live_process
from harness.sandbox.config import SandboxConfig
from harness.sandbox.providers import BUILT_IN, open_provider

KEY = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")
ADDITION = re.compile(r"\+\d+(\.\d*)?([eE][+-]?\d+)?")
RunReference = Annotated[str, Parameter(help="A run's folder, its id, or latest.")]


def stop(run: RunReference = "latest", *, runs_dir: RunsDir = None, json: JsonFlag = False) -> None:
    """End a live run: nothing new starts, what is in flight is judged, everything is saved."""
    folder = find_run(run, runs_folder(runs_dir))
    print_answer(folder.id, send(folder, "stop"), json=json)


def pause(
    run: RunReference = "latest",
    agent: Annotated[str | None, Parameter(help="Only this agent; by default all.")] = None,
    *,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """Hold a live run, or one agent of it, until `harness resume`.

    A step that has begun (a model call, a command, an evaluation) ends first.
    """
    folder = find_run(run, runs_folder(runs_dir))
    print_answer(folder.id, send(folder, "pause", agent=agent), json=json)


def tell(
    run: RunReference,
    *words: Annotated[
        str,
        Parameter(
            help="The agent, unless all are meant, and the message.", allow_leading_hyphen=True
        ),
    ],
    urgent: Annotated[
        bool, Parameter(negative=(), help="Cut a running command of the agent short for it.")
    ] = False,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """Say something to one agent of a live run, or to all: `tell RUN [AGENT] "text"`.

    The agent reads it before its next model call.
    """
    if len(words) not in (1, 2) or not words[-1].strip():
        raise UserError(
            "there is nothing to tell" if len(words) < 3 else f"there are {len(words)} messages",
            expected='a run, an agent or none, and one message: harness tell RUN [AGENT] "text"',
            action='put the message in quotes: harness tell latest "try fewer circles"',
        )
    agent = words[0] if len(words) == 2 else None
    folder = find_run(run, runs_folder(runs_dir))
    answer = send(folder, "tell", agent=agent, text=words[-1], urgent=urgent)
    print_answer(folder.id, answer, json=json)


def set_values(
    run: RunReference,
    *assignments: Annotated[
        str,
        Parameter(
            help="key=value as in harness.yaml: budget.evaluations=+50, agents=6, target=2.6,"
            " agent.model.name=NAME, heartbeats.pivot.every=6 …"
        ),
    ],
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """Change settings of a live run: budgets, agents, target, models, heartbeat rules.

    Values are YAML; +N adds to what is set.
    """
    values = dict(map(assignment, assignments))
    if not values:
        raise UserError(
            "nothing is set",
            expected="at least one key=value",
            action=f"for example: harness set {run} budget.evaluations=+50",
        )
    folder = find_run(run, runs_folder(runs_dir))
    if live_process(folder) is None:
        raise UserError(
            f"run {folder.id} is not running, so nothing of it can be set",
            expected="a live run",
            action=f"extend it as it goes on: harness resume {folder.id} --evals +50"
            " (or --hours, --tokens, --budget-usd)",
        )
    print_answer(folder.id, send(folder, "set", values=values), json=json)


def assignment(text: str) -> tuple[str, Any]:
    """`key=value` with a YAML value; a sum such as +5 stays text."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not KEY.fullmatch(key):
        raise UserError(
            f"{text!r} is no assignment",
            expected="key=value, the key as in harness.yaml with dots: budget.usd=+5",
            action="see docs/configuration.md for all keys",
        )
    value = value.strip()
    if ADDITION.fullmatch(value):
        return key, value  # YAML would drop the sign
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(
            f"the value of {key} is {value!r}",
            expected="YAML: a number, a word, a list in brackets",
            action=f"correct it, in quotes for the shell: '{key}=…'",
        ) from error


def clean(
    *,
    run: Annotated[str | None, Parameter(help="Only what this run left.")] = None,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """Remove containers, temporary folders and scratch files of runs that are dead.

    Runs themselves, their attempts and the memory stay.
    """
    runs = runs_folder(runs_dir)
    folders = [find_run(run, runs)] if run else all_runs(runs)
    scratch = 0
    for folder in folders:
        if live_process(folder) is None and folder.scratch.is_dir():
            shutil.rmtree(folder.scratch, ignore_errors=True)
            scratch += 1
    if not run:
        for draft in dead_drafts(runs):
            shutil.rmtree(draft, ignore_errors=True)
    only = folders[0].id if run else None
    removed = asyncio.run(_reap(only))
    if json:
        found = {"schema_version": SCHEMA_VERSION, "scratch": scratch, "sandboxes": removed}
        print_json(found)
        return
    for name, count in removed.items():
        print(f"{name}: {count} leftovers removed")
    print(f"scratch folders removed: {scratch}")


async def _reap(run: str | None) -> dict[str, int]:
    removed: dict[str, int] = {}
    with ThreadPoolExecutor(4) as executor:
        for name in BUILT_IN:
            try:
                provider, _ = await open_provider(SandboxConfig(provider=name), executor)
            except HarnessError:
                continue  # what does not work here has left nothing here
            try:
                removed[name] = await provider.reap(run)
            finally:
                await provider.close()
    return removed
