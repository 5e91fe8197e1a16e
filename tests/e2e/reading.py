"""What a run's folder holds, read without the harness's own readers."""

import json
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAKERS = frozenset({"write", "edit", "bash"})
"""Tools that change files."""


@dataclass(frozen=True, slots=True)
class Made:
    """How an attempt came to be, by its agent's transcript."""

    agent: str
    tools: frozenset[str]
    """Those of `MAKERS` that were called for it in its directive."""
    heard: tuple[str, ...]
    """Rules whose messages the model had been sent when it made the last change, sorted."""


def query(folder: Path, sql: str, *values: object) -> list[dict[str, Any]]:
    """Rows of the run's store."""
    with closing(sqlite3.connect(f"file:{folder / 'run.db'}?mode=ro", uri=True, timeout=10)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql, values)]


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The journal's entries of a kind: their data with `agent`, `attempt`, `at`, `sequence`."""
    rows = query(folder, "SELECT * FROM events WHERE kind = ? ORDER BY sequence", kind)
    return [{**json.loads(row.pop("data")), **row} for row in rows]


def turns(folder: Path, agent: str) -> list[dict[str, Any]]:
    """The whole lines of an agent's transcript."""
    lines = (folder / "transcripts" / f"{agent}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def agents(folder: Path) -> list[str]:
    """Everybody who has a transcript."""
    return sorted(path.stem for path in (folder / "transcripts").glob("*.jsonl"))


def calls(records: Sequence[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The tool calls of these names; of all without any."""
    return [
        record
        for record in records
        if record["type"] == "tool" and (not names or record["name"] in names)
    ]


def answer(record: dict[str, Any]) -> str:
    """What a tool said."""
    return str(record["message"]["content"])


def succeeded(record: dict[str, Any]) -> bool:
    """Whether a tool did what it was asked."""
    return not answer(record).startswith("Error:")


def made(folder: Path) -> dict[str, Made]:
    """For each attempt of an agent, how it was made; by the keys of the submissions."""
    attempts = {
        (row["agent"], row["key"]): str(json.loads(row["result"]))
        for row in query(folder, "SELECT * FROM effects")
        if row["result"].strip('"').isdigit()
    }
    found: dict[str, Made] = {}
    for agent in agents(folder):
        for key, tools, heard in _submissions(turns(folder, agent)):
            if (agent, key) in attempts:
                found[attempts[agent, key]] = Made(agent, tools, heard)
    return found


def _submissions(
    records: Sequence[dict[str, Any]],
) -> Iterator[tuple[str, frozenset[str], tuple[str, ...]]]:
    tools: set[str] = set()
    heard: set[str] = set()
    sent: tuple[str, ...] = ()
    at_change: tuple[str, ...] = ()
    for record in records:
        if record["type"] == "user" and "rule" in record:
            heard.add(record["rule"])
        elif record["type"] == "user" and record["message"].get("harness") == "directive":
            tools.clear()
        elif record["type"] == "assistant":
            sent = tuple(sorted(heard))
        elif _makes(record):
            tools.add(record["name"])
            at_change = sent
        elif record["type"] == "tool" and record["name"] == "submit":
            yield record["key"], frozenset(tools), at_change


def _makes(record: dict[str, Any]) -> bool:
    """Whether it is a call that changes files; background jobs of these tests change none."""
    made = record["type"] == "tool" and record["name"] in MAKERS
    return made and not json.loads(record["arguments"]).get("background")


def file_of(folder: Path, attempt: str, path: str) -> str:
    """A file of an attempt's tree."""
    git = ["git", "-c", "safe.directory=*", "-C", str(folder / "attempts.git")]
    shown = subprocess.run(
        [*git, "show", f"refs/attempts/{attempt}:{path}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout
