"""`harness memory`: what is remembered, what was recalled, and what it was worth."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from harness.cli import memory_edit, memory_server
from harness.cli.memory_app import (
    Embedder,
    Folder,
    Limit,
    app,
    columns,
    document,
    entry_document,
    flat,
    memory_config,
    no_memory,
    opened_store,
    record_document,
)
from harness.cli.output import (
    JsonFlag,
    RunsDir,
    format_score,
    print_table,
    runs_folder,
    say,
)
from harness.clock import SystemClock, isoformat
from harness.errors import UserError
from harness.memory.base import (
    LogEntry,
    MemoryConfig,
    Recalled,
    RecallQuery,
    RecordKind,
)

# These two put their commands into the same app.
__all__ = ["app", "memory_edit", "memory_server"]


@app.command(name="list")
def list_(
    *,
    kind: RecordKind | None = None,
    task: str | None = None,
    run: str | None = None,
    retired: Annotated[
        bool, Parameter(negative=(), help="Those that are recalled no longer, with the reason.")
    ] = False,
    limit: Limit = 50,
    path: Folder = None,
    json: JsonFlag = False,
) -> None:
    """List records, newest first."""
    with opened_store(path) as (store, _):
        found = store.records(kind=kind, task=task, run=run, limit=limit, retired=retired)
        reasons = store.retired() if retired else {}
        total: int = store.counts()["records"]
    if json:
        records = [
            record_document(each) | ({"retired": reasons[each.id]} if retired else {})
            for each in found
        ]
        document(records=records, total=total)
        return
    if retired:
        rows = [(each.id[:12], each.title[:60], reasons[each.id][:80]) for each in found]
        print_table(("id", "title", "retired because"), rows)
        return
    print_table(("id", "kind", "task", "agent", "outcome", "score", "title"), map(columns, found))
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
    found = _recall(memory_config(path, embedder, scope), query)
    if json:
        document(
            query=query.text,
            records=[
                {**record_document(each.record), "rank": each.rank, "relevance": each.score}
                for each in found
            ],
        )
        return
    rows = [(each.rank, *columns(each.record)) for each in found]
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
    with opened_store(path) as (store, _):
        try:
            found = store.find(record)
        except KeyError as error:
            raise UserError(
                str(error.args[0]),
                expected="an id, or the beginning of exactly one",
                action="harness memory list",
            ) from error
        uses = store.uses(found.id)
        retired = store.retired().get(found.id)
    if json:
        document(record={**record_document(found), "uses": uses, "retired": retired})
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
        ("for", {"run": "its run", "task": "", "global": "all tasks"}[found.audience]),
        ("retired", retired),
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
        document(entries=[entry_document(entry) for entry in entries])
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
def why(
    attempt: str,
    /,
    *,
    run: str | None = None,
    path: Folder = None,
    json: JsonFlag = False,
) -> None:
    """What was recalled for an attempt, why this, what was used of it, and what came of it.

    Parameters
    ----------
    attempt
        The attempt's number.
    run
        The run's full id; by default the newest that recalled something for such an attempt.
    """
    from harness.memory.story import story_of

    with opened_store(path) as (store, _):
        story = story_of(store, attempt, run)
    if story is None:
        raise UserError(
            f"nothing was recalled for an attempt {attempt!r}" + (f" of {run}" if run else ""),
            expected="an attempt that was shown records and has its verdict",
            action="harness memory log RUN, harness attempts RUN",
        )
    if json:
        document(**story.plain())
        return
    for line in story.lines():
        print(line)


@app.command
def stats(*, path: Folder = None, json: JsonFlag = False) -> None:
    """Counts, embedder, size, and which records pay: what came of showing them."""
    from harness.memory.outcomes import tunings, worth
    from harness.memory.sqlite import describe

    with opened_store(path) as (store, folder):
        found = describe(folder, store)
        paid = worth(store, limit=8)
        tuned = tunings(store, limit=5)
    if json:
        decisions = [{**each._asdict(), "at": isoformat(each.at)} for each in tuned]
        document(**found, worth=[each._asdict() for each in paid], tuning=decisions)
        return
    for name, value in found.items():
        print(f"{name + ':':<17}{flat(value)}")
    for each in tuned:
        print(f"tuning:          {isoformat(each.at)} {each.reason}")
    if paid:
        print()
        rows = [
            (
                each.id[:12],
                each.kind,
                each.uses,
                each.improved,
                f"{each.worth:+.2f}",
                each.title[:60],
            )
            for each in paid
        ]
        print_table(("id", "kind", "shown", "improved", "worth", "title"), rows)


@app.command
def reindex(*, path: Folder = None, embedder: Embedder = None, json: JsonFlag = False) -> None:
    """Embed all records with the configured embedder and make the indexes again."""
    from harness.memory.reindex import reindex as remake

    config = memory_config(path, embedder, "global")
    done = remake(config, progress=lambda count, total: say(f"{count} of {total} records"))
    if json:
        document(**done)
    else:
        say(f"{done['records']} records, embedder {done['embedder']}")


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
        raise no_memory(memory_folder(config)) from error


def _run_log(reference: str, attempt: str | None, runs_dir: Path) -> list[LogEntry]:
    from harness.run.folder import find_run
    from harness.run.views import memory_log, read_run

    folder = find_run(reference, runs_dir)
    if attempt is None:
        return memory_log(folder.path)
    return memory_log(folder.path, attempt=read_run(folder).attempt(attempt).id)


def _shared_log(attempt: str | None, limit: int, path: str | None) -> list[LogEntry]:
    with opened_store(path) as (store, _):
        return store.log(run=None, attempt=attempt, limit=limit)
