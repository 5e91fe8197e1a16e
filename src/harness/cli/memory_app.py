"""What the commands of `harness memory` share."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import App, Parameter

from harness.cli.output import format_score, print_json
from harness.clock import isoformat
from harness.errors import UserError
from harness.events import SCHEMA_VERSION
from harness.memory.base import LogEntry, MemoryConfig, MemoryRecord

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


def memory_config(path: str | None, embedder: str | None, scope: str) -> MemoryConfig:
    from harness.run.config import load_config

    flags = {"memory.path": path, "memory.embedder": embedder, "memory.scope": scope}
    return load_config(flags).memory


@contextmanager
def opened_store(path: str | None, *, write: bool = False) -> Generator[tuple["Store", Path]]:
    """The configured memory's store and folder; no embedder is needed."""
    from harness.memory.folder import DATABASE, memory_folder
    from harness.memory.open import open_store, open_store_readonly

    folder = memory_folder(memory_config(path, None, "global"))
    if not (folder / DATABASE).is_file():
        raise no_memory(folder)
    store = open_store(folder) if write else open_store_readonly(folder)
    try:
        yield store, folder
    finally:
        store.close()


def no_memory(folder: Path) -> UserError:
    return UserError(
        f"there is no memory in {folder} yet",
        expected="a memory that a run has written to",
        action="harness launch circle_packing, or name another folder with --path",
    )


def flat(value: object) -> str:
    if isinstance(value, Mapping):
        counts = cast("Mapping[str, int]", value)
        return ", ".join(f"{name} {count}" for name, count in counts.items())
    return str(value)


def document(**content: Any) -> None:
    print_json({"schema_version": SCHEMA_VERSION, **content})


def columns(record: MemoryRecord) -> tuple[object, ...]:
    score = format_score(record.score)
    agent, title = record.agent, record.title[:80]
    return record.id[:12], record.kind.value, record.task, agent, record.outcome, score, title


def record_document(record: MemoryRecord) -> dict[str, Any]:
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


def entry_document(entry: LogEntry) -> dict[str, Any]:
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
