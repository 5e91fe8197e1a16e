"""`harness memory add | edit | forget | restore | export | import`: what people change."""

import sys
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from harness.cli.memory_app import (
    Embedder,
    Folder,
    app,
    document,
    memory_config,
    opened_store,
    record_document,
)
from harness.cli.output import JsonFlag, say
from harness.errors import UserError
from harness.ids import RecordId
from harness.memory.base import MemoryRecord, RecordKind

if TYPE_CHECKING:
    from harness.memory.embedders import Embedder as MemoryEmbedder
    from harness.memory.rows import EmbedderRow
    from harness.memory.store import Store

AUTHOR = "user"
MAX_PART = 6_000
"""Characters of a file that make one record: what a prompt shows of it is shorter still."""


class _Open(NamedTuple):
    store: "Store"
    embedder: "MemoryEmbedder"
    row: "EmbedderRow"


@app.command
def add(
    *files: Path,
    text: str | None = None,
    title: str | None = None,
    kind: RecordKind | None = None,
    task: str | None = None,
    path: Folder = None,
    embedder: Embedder = None,
    json: JsonFlag = False,
) -> None:
    """Add knowledge: files, or a text.

    Parameters
    ----------
    files
        Text files; a long one becomes several records.
    text
        A text instead of files.
    title
        What it is about; by default the file's name or the text's first line.
    kind
        By default knowledge.
    task
        Only for this task; by default for all.
    """
    if bool(files) == (text is not None):
        raise UserError(
            "neither files nor --text" if text is None else "both files and --text",
            expected="one of them",
            action="harness memory add notes.md, or harness memory add --text '...'",
        )
    given = [(title or file.name, _read(file)) for file in files]
    if text is not None:
        given.append((title or text.strip().split("\n")[0], text))
    records = [
        _record(name, part, kind or RecordKind.KNOWLEDGE, task)
        for name, whole in given
        for part in _parts(whole)
    ]
    from harness.memory.rows import prepared
    from harness.memory.transfer import add as put

    with _writing(path, embedder) as (store, maker, row):
        new = put(store, maker, row, [prepared(each) for each in records], at=time.time())
    if json:
        document(records=[record_document(each) for each in records], new=new)
    else:
        say(f"{new} records added, {len(records) - new} were there")


@app.command
def edit(
    record: str,
    /,
    *,
    text: str | None = None,
    title: str | None = None,
    path: Folder = None,
    embedder: Embedder = None,
    json: JsonFlag = False,
) -> None:
    """Replace a record by one with another text or title; the old one is kept, but not recalled.

    Parameters
    ----------
    record
        An id, or the beginning of one.
    """
    if text is None and title is None:
        raise UserError(
            "neither --text nor --title",
            expected="what is to change",
            action="harness memory edit ID --text '...'",
        )
    from harness.memory.rows import prepared
    from harness.memory.transfer import add as put

    with _writing(path, embedder) as (store, maker, row):
        old = _find(store, record)
        changed = replace(
            old,
            title=old.title if title is None else title,
            text=old.text if text is None else text,
        )
        name = f"edit:{old.id}:{changed.title}:{changed.text}"
        new = prepared(
            replace(
                changed,
                id=RecordId(uuid.uuid5(uuid.NAMESPACE_OID, name).hex),
                created_at=time.time(),
                data={**old.data, "replaces": old.id},
            )
        )
        put(store, maker, row, [new], at=time.time())
        store.retire(old.id, f"edited: see {new.id}", at=time.time())
    _said(new, json=json, what=f"{old.id[:8]} replaced by {new.id[:8]}")


@app.command
def forget(
    record: str,
    /,
    *,
    why: Annotated[str, Parameter(help="Kept with the record.")] = "by the user",
    path: Folder = None,
    json: JsonFlag = False,
) -> None:
    """Recall a record no longer; `restore` brings it back."""
    with opened_store(path, write=True) as (store, _):
        found = _find(store, record)
        store.retire(found.id, why, at=time.time())
    _said(found, json=json, what=f"{found.id[:8]} is recalled no longer: {found.title}")


@app.command
def restore(record: str, /, *, path: Folder = None, json: JsonFlag = False) -> None:
    """Recall a forgotten, merged or replaced record again."""
    with opened_store(path, write=True) as (store, _):
        found = _find(store, record)
        store.restore(found.id, at=time.time())
    _said(found, json=json, what=f"{found.id[:8]} is recalled again: {found.title}")


@app.command
def export(
    *,
    kind: RecordKind | None = None,
    task: str | None = None,
    run: str | None = None,
    path: Folder = None,
) -> None:
    """Write records as JSON Lines to stdout, what is retired included."""
    from harness.memory.transfer import exported

    with opened_store(path) as (store, _):
        for line in exported(store, kind=kind, task=task, run=run):
            print(line)


@app.command(name="import")
def import_(
    file: Path | None = None,
    /,
    *,
    path: Folder = None,
    embedder: Embedder = None,
    json: JsonFlag = False,
) -> None:
    """Add records that `export` wrote; those that are there stay as they are.

    Parameters
    ----------
    file
        JSON Lines; stdin by default.
    """
    from harness.memory.transfer import imported

    lines = (sys.stdin.read() if file is None else _read(file)).split("\n")
    with _writing(path, embedder) as (store, maker, row):
        new = imported(store, maker, row, lines, at=time.time())
    if json:
        document(new=new)
    else:
        say(f"{new} records added")


@contextmanager
def _writing(path: str | None, embedder: str | None) -> Generator[_Open]:
    """The configured memory for writing, made if it is missing."""
    from harness.memory.embedders import make_embedder
    from harness.memory.folder import memory_folder
    from harness.memory.open import agreed, open_store

    config = memory_config(path, embedder, "global")
    folder = memory_folder(config)
    maker = make_embedder(config)
    store = open_store(folder)
    try:
        yield _Open(store, maker, agreed(store, maker, folder))
    finally:
        store.close()


def _find(store: "Store", record: str) -> MemoryRecord:
    try:
        return store.find(record)
    except KeyError as error:
        raise UserError(
            str(error.args[0]),
            expected="an id, or the beginning of exactly one",
            action="harness memory list",
        ) from error


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file} cannot be read as text: {error}",
            expected="a text file in UTF-8",
            action="name another file",
        ) from error


def _record(title: str, text: str, kind: RecordKind, task: str | None) -> MemoryRecord:
    name = f"user:{kind}:{task}:{title}:{text}"
    return MemoryRecord(
        id=RecordId(uuid.uuid5(uuid.NAMESPACE_OID, name).hex),
        kind=kind,
        title=title,
        text=text,
        task=task or "",
        run="",
        agent=AUTHOR,
        created_at=time.time(),
        audience="global" if task is None else "task",
    )


def _parts(text: str) -> list[str]:
    """Paragraphs put together up to `MAX_PART` characters; longer ones are cut."""
    parts = [""]
    for paragraph in text.strip().split("\n\n"):
        for start in range(0, max(1, len(paragraph)), MAX_PART):
            piece = paragraph[start : start + MAX_PART]
            if parts[-1] and len(parts[-1]) + len(piece) > MAX_PART:
                parts.append("")
            parts[-1] += ("\n\n" if parts[-1] else "") + piece
    return [part for part in parts if part.strip()]


def _said(record: MemoryRecord, *, json: bool, what: str) -> None:
    if json:
        document(record=record_document(record))
    else:
        say(what)
