"""A run on disk: made from a task and a configuration, or checked before it is resumed."""

import secrets
import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness.clock import Clock
from harness.errors import ConfigurationError, UserError
from harness.events import EventKind
from harness.memory.folder import refuse_network
from harness.run.config import BudgetConfig, RunConfig, save_config
from harness.run.folder import DRAFT, RunFolder, RunLock
from harness.run.rules import PROMPTS
from harness.run.store import Store
from harness.sandbox.repository import Repository
from harness.tasks.base import Task
from harness.tasks.foreign.imported import IMPORTED
from harness.tasks.loader import load_task
from harness.version import package_version


def task_budget(task: Task, config: RunConfig) -> RunConfig:
    """`config` with the task's own budget where it has none."""
    if not config.budget.unlimited:
        return config
    budget = BudgetConfig(evaluations=task.file.budget.evaluations, hours=task.file.budget.hours)
    return config.model_copy(update={"budget": budget})


def create_folder(task: Task, config: RunConfig, clock: Clock) -> RunFolder:
    """A new run on disk: copy of the task, configuration, store, repository.

    It is made as a draft and renamed when it is whole, so a kill leaves a run or none.

    Raises:
        ConfigurationError: The folder for runs cannot be used, or a setting cannot be.
    """
    runs_dir = Path(config.runs_dir).expanduser().absolute()
    refuse_network(runs_dir, what="the folder of the runs", setting="--runs-dir")
    stamp = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%d-%H%M%S")
    folder = RunFolder(runs_dir / f"{task.name}-{stamp}-{secrets.token_hex(2)}")
    while folder.path.exists():  # many runs of one second
        folder = RunFolder(runs_dir / f"{task.name}-{stamp}-{secrets.token_hex(2)}")
    draft = RunFolder(runs_dir / f"{DRAFT}{folder.id}")
    try:
        draft.path.mkdir(parents=True)
    except OSError as error:
        raise _not_made(folder, error) from error
    lock = RunLock(draft)
    try:
        lock.acquire()
        _fill(draft, folder.id, task, config, clock)
        draft.path.rename(folder.path)
    except (OSError, sqlite3.OperationalError) as error:
        shutil.rmtree(draft.path, ignore_errors=True)
        raise _not_made(folder, error) from error
    finally:
        lock.release()
    return folder


def _not_made(folder: RunFolder, error: Exception) -> ConfigurationError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ConfigurationError(
        f"{folder.path} cannot be made: {reason}",
        expected="a folder that can be written, with space",
        action="name another one with --runs-dir",
    )


def _fill(draft: RunFolder, run: str, task: Task, config: RunConfig, clock: Clock) -> None:
    _copy_task(task, draft)
    save_config(config, draft.config)
    draft.transcripts.mkdir()
    Repository.create(draft.repository).close()
    meta = {
        "run": run,
        "task": task.name,
        "task_hash": task.hash,
        "direction": task.direction,
        "private": str(task.private or ""),
        "private_hash": task.private_hash or "",
        "version": package_version(),
    }
    store = Store.create(draft.path, clock, meta)
    store.event(EventKind.LAUNCHED, task=task.name, version=package_version())
    store.close()


def _copy_task(task: Task, folder: RunFolder) -> None:
    folder.task.mkdir()
    for name in ("task.yaml", IMPORTED):
        if (task.folder / name).is_file():
            shutil.copyfile(task.folder / name, folder.task / name)
    parts = {"seed": task.seed, "evaluator": task.evaluator, "knowledge": task.knowledge}
    if (prompts := task.folder / PROMPTS).is_dir():
        parts[PROMPTS] = prompts
    for name, part in parts.items():
        if part is not None:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(part, folder.task / name, ignore=ignored)


def extended(config: RunConfig, extension: BudgetConfig) -> RunConfig:
    """`config` with new limits (totals, not additions) where `extension` names them."""
    given = extension.model_dump(exclude_none=True)
    return config.model_copy(update={"budget": config.budget.model_copy(update=given)})


def saved_task(folder: RunFolder, clock: Clock) -> Task:
    """The task as it was launched, with its private data where they lie now.

    Raises:
        UserError: Task or private data changed or are gone.
    """
    store = Store.open(folder.path, clock)
    meta = store.meta()
    store.close()
    task = load_task(folder.task)
    if task.hash != meta["task_hash"]:
        raise UserError(
            f"the task copied into run {folder.id} was changed",
            expected=f"the files of task {meta['task']!r} as they were at launch",
            action="undo the change, or launch the changed task as a new run",
        )
    if not meta["private"]:
        return task
    private = Path(meta["private"])
    if task.origin is not None and task.origin.is_dir() and not private.is_dir():
        load_task(task.origin)  # converted anew: the cache was emptied
    hashed = load_task(private.parent).private_hash if private.is_dir() else None
    if hashed != meta["private_hash"]:
        state = "changed" if private.is_dir() else "are gone"
        raise UserError(
            f"the private data of task {meta['task']!r} in {private} {state}",
            expected="the data that the earlier verdicts were made with",
            action="put them back, or launch a new run",
        )
    return replace(task, private=private, private_hash=hashed)
