"""`harness stop` and `harness clean`."""

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from cyclopts import Parameter

from harness.cli.output import JsonFlag, RunsDir, print_json, runs_folder
from harness.errors import HarnessError
from harness.events import SCHEMA_VERSION
from harness.run.control import send
from harness.run.folder import all_runs, find_run, live_process
from harness.sandbox.config import SandboxConfig
from harness.sandbox.providers import BUILT_IN, open_provider


def stop(run: str = "latest", *, runs_dir: RunsDir = None, json: JsonFlag = False) -> None:
    """End a live run: nothing new starts, what is in flight is judged, everything is saved."""
    folder = find_run(run, runs_folder(runs_dir))
    answer = send(folder, "stop")
    if json:
        print_json({"schema_version": SCHEMA_VERSION, "run": folder.id, "answer": answer})
    else:
        print(f"{folder.id}: {answer}")


def clean(
    *,
    run: Annotated[str | None, Parameter(help="Only what this run left.")] = None,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """Remove containers, temporary folders and scratch files of runs that are dead.

    Runs themselves, their attempts and the memory stay.
    """
    folders = [find_run(run, runs_folder(runs_dir))] if run else all_runs(runs_folder(runs_dir))
    scratch = 0
    for folder in folders:
        if live_process(folder) is None and folder.scratch.is_dir():
            shutil.rmtree(folder.scratch, ignore_errors=True)
            scratch += 1
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
