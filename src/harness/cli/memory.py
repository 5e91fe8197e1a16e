"""`harness memory`: what is remembered, what was recalled, and what it was worth."""

import asyncio
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import App, Parameter

from harness.cli.output import (
    JsonFlag,
    RunsDir,
    format_score,
    print_json,
    print_table,
    runs_folder,
    say,
)
from harness.clock import SystemClock, isoformat
from harness.errors import UserError
from harness.events import SCHEMA_VERSION
from harness.memory.base import (
    LogEntry,
    MemoryConfig,
    MemoryRecord,
    Recalled,
    RecallQuery,
    RecordKind,
)

if TYPE_CHECKING:
    from harness.memory.store import Store

app = App(name="memory", help="What is remembered, what was recalled, and what it was worth.")

Limit = Annotated[int, Parameter(name=["--limit", "-n"], help="At most so many.")]
Folder = Annotated[
    str | None, Parameter(name="--path", help="Folder of the memory (default: the configured one).")
]
Embedder = Annotated[
    str | None, Parameter(name="--embedder", help="hashing, minilm or openai:MODEL.")
]


@app.command(name="list")
def list_(
    *,
    kind: RecordKind | None = None,
    task: str | None = None,
    run: str | None = None,
    limit: Limit = 50,
    path: Folder = None,
    json: JsonFlag = False,
) -> None:
    """List records, newest first."""
    with _store(path) as (store, _):
        found = store.records(kind=kind, task=task, run=run, limit=limit)
        total: int = store.counts()["records"]
    if json:
        _document(records=[_record(record) for record in found], total=total)
        return
    print_table(("id", "kind", "task", "agent", "outcome", "score", "title"), map(_columns, found))
    say(f"{len(found)} of {total} records; harness memory show ID")


@app.command
def search(
    *text: str,
    task: str | None = None,
    run: str | None = None,
    kind: RecordKind | None = None,
    limit: Limit = 10,
    path: Folder = None,
    embedder: Embedder = None,
    json: JsonFlag = False,
) -> None:
    """Search as agents do: nothing rather than something unrelated. Not logged.

    Parameters
    ----------
    text
        What to look for.
    task
        Only records of this task.
    run
        Only records of this run (its full id).
    """
    if run is not None and task is not None:
        raise UserError(
            "both --task and --run are given",
            expected="one of them: a run has one task",
            action="leave one out",
        )
    scope = "run" if run is not None else "task" if task is not None else "global"
    query = RecallQuery(
        text=" ".join(text),
        purpose="search",
        task=task or "",
        run=run or "",
        agent="",
        limit=limit,
        kinds=(kind,) if kind else (),
    )
    found = _recall(_config(path, embedder, scope), query)
    if json:
        _document(
            query=query.text,
            records=[
                {**_record(each.record), "rank": each.rank, "relevance": each.score}
                for each in found
            ],
        )
        return
    rows = [(each.rank, *_columns(each.record)) for each in found]
    print_table(("rank", "id", "kind", "task", "agent", "outcome", "score", "title"), rows)
    if not found:
        say("nothing related")


@app.command
def show(record: str, /, *, path: Folder = None, json: JsonFlag = False) -> None:
    """Show a record, where it comes from and what came of using it.

    Parameters
    ----------
    record
        An id, or the beginning of one.
    """
    with _store(path) as (store, _):
        try:
            found = store.find(record)
        except KeyError as error:
            raise UserError(
                str(error.args[0]),
                expected="an id, or the beginning of exactly one",
                action="harness memory list",
            ) from error
        uses = store.uses(found.id)
    if json:
        _document(record={**_record(found), "uses": uses})
        return
    print(f"{found.kind.value} {found.id}\n")
    for name, value in (
        ("task", found.task),
        ("run", found.run),
        ("agent", found.agent),
        ("attempt", found.attempt),
        ("outcome", found.outcome),
        ("score", None if found.score is None else format_score(found.score)),
        ("written", isoformat(found.created_at)),
        ("used before", ", ".join(f"{count} {what}" for what, count in uses.items())),
    ):
        if value:
            print(f"{name + ':':<13}{value}")
    print(f"\n{found.title}\n\n{found.text}")


@app.command
def log(
    run: str | None = None,
    /,
    *,
    attempt: str | None = None,
    limit: Limit = 1000,
    runs_dir: RunsDir = None,
    path: Folder = None,
    json: JsonFlag = False,
) -> None:
    """What was written, recalled, cited and credited, oldest first.

    Parameters
    ----------
    run
        A run's folder, its id, or latest: the run's own log, which needs no shared memory. Without
        it, the log of the shared memory.
    attempt
        Only what bears on this attempt.
    """
    entries = (
        _shared_log(attempt, limit, path)
        if run is None
        else _run_log(run, attempt, runs_folder(runs_dir))[-limit:]
    )
    if json:
        _document(entries=[_entry(entry) for entry in entries])
        return
    print_table(
        ("at", "op", "agent", "attempt", "records", "query"),
        (
            (
                isoformat(entry.at),
                entry.op,
                entry.agent,
                entry.attempt,
                " ".join(shown.id[:8] for shown in entry.records),
                entry.query[:80],
            )
            for entry in entries
        ),
    )


@app.command
def stats(*, path: Folder = None, json: JsonFlag = False) -> None:
    """Counts, embedder and size."""
    from harness.memory.sqlite import describe

    with _store(path) as (store, folder):
        found = describe(folder, store)
    if json:
        _document(**found)
        return
    for name, value in found.items():
        print(f"{name + ':':<17}{_flat(value)}")


@app.command
def reindex(*, path: Folder = None, embedder: Embedder = None, json: JsonFlag = False) -> None:
    """Embed all records with the configured embedder and make the indexes again."""
    from harness.memory.reindex import reindex as remake

    config = _config(path, embedder, "global")
    done = remake(config, progress=lambda count, total: say(f"{count} of {total} records"))
    if json:
        _document(**done)
    else:
        say(f"{done['records']} records, embedder {done['embedder']}")


def _config(path: str | None, embedder: str | None, scope: str) -> MemoryConfig:
    from harness.run.config import load_config

    flags = {"memory.path": path, "memory.embedder": embedder, "memory.scope": scope}
    return load_config(flags).memory


@contextmanager
def _store(path: str | None) -> Generator[tuple["Store", Path]]:
    """The configured memory's store and folder, for reading only; no embedder is needed."""
    from harness.memory.folder import memory_folder
    from harness.memory.open import open_store_readonly

    folder = memory_folder(_config(path, None, "global"))
    try:
        store = open_store_readonly(folder)
    except FileNotFoundError as error:
        raise _no_memory(folder) from error
    try:
        yield store, folder
    finally:
        store.close()


def _recall(config: MemoryConfig, query: RecallQuery) -> list[Recalled]:
    from harness.memory.folder import memory_folder
    from harness.memory.open import open_memory_readonly

    async def run() -> list[Recalled]:
        with ThreadPoolExecutor(2, "harness-memory") as executor:
            memory = await open_memory_readonly(config, executor, clock=SystemClock())
            try:
                return await memory.recall(query)
            finally:
                await memory.close()

    try:
        return asyncio.run(run())
    except FileNotFoundError as error:
        raise _no_memory(memory_folder(config)) from error


def _no_memory(folder: Path) -> UserError:
    return UserError(
        f"there is no memory in {folder} yet",
        expected="a memory that a run has written to",
        action="harness launch circle_packing, or name another folder with --path",
    )


def _run_log(reference: str, attempt: str | None, runs_dir: Path) -> list[LogEntry]:
    from harness.run.folder import find_run
    from harness.run.views import memory_log, read_run

    folder = find_run(reference, runs_dir)
    if attempt is None:
        return memory_log(folder.path)
    return memory_log(folder.path, attempt=read_run(folder).attempt(attempt).id)


def _shared_log(attempt: str | None, limit: int, path: str | None) -> list[LogEntry]:
    with _store(path) as (store, _):
        return store.log(run=None, attempt=attempt, limit=limit)


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        counts = cast("Mapping[str, int]", value)
        return ", ".join(f"{name} {count}" for name, count in counts.items())
    return str(value)


def _document(**content: Any) -> None:
    print_json({"schema_version": SCHEMA_VERSION, **content})


def _columns(record: MemoryRecord) -> tuple[object, ...]:
    score = format_score(record.score)
    agent, title = record.agent, record.title[:80]
    return record.id[:12], record.kind.value, record.task, agent, record.outcome, score, title


def _record(record: MemoryRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "kind": record.kind.value,
        "title": record.title,
        "text": record.text,
        "task": record.task,
        "run": record.run,
        "agent": record.agent,
        "attempt": record.attempt,
        "score": record.score,
        "outcome": record.outcome,
        "created_at": isoformat(record.created_at),
        "data": dict(record.data),
    }


def _entry(entry: LogEntry) -> dict[str, Any]:
    return {
        "at": isoformat(entry.at),
        "op": entry.op,
        "agent": entry.agent,
        "query": entry.query,
        "records": [
            {"id": shown.id, "rank": shown.rank, "score": shown.score} for shown in entry.records
        ],
        "attempt": entry.attempt,
    }
