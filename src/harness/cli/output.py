"""Printing for people and for programs; nothing but the document on stdout with `--json`."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from harness.events import SCHEMA_VERSION
from harness.redact import redact
from harness.run.config import load_config
from harness.text import visible

JsonFlag = Annotated[bool, Parameter(name="--json", negative=(), help="One JSON document.")]
RunsDir = Annotated[
    str | None, Parameter(name="--runs-dir", help="Folder of the runs; by default the configured.")
]


def runs_folder(given: str | None) -> Path:
    """The folder a flag names, else the configured one, where `launch` puts runs as well."""
    return Path(given or load_config({}).runs_dir).expanduser()


def print_json(document: Any) -> None:
    """One document, readable."""
    print(_text(document, indent=2))


def print_record(record: Any) -> None:
    """One line of a JSON Lines stream, flushed."""
    print(_text(record), flush=True)


def _text(value: Any, *, indent: int | None = None) -> str:
    """JSON; half a surrogate pair, which models and files can hold, stays an escape."""
    text = redact(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent))
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns for people; plain text, so that it can be piped."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def print_answer(run: str, answer: str, *, json: bool) -> None:
    """What a live run answered to a command."""
    if json:
        print_json({"schema_version": SCHEMA_VERSION, "run": run, "answer": answer})
    else:
        print(f"{run}: {visible(answer)}")


def say(text: str) -> None:
    """A remark for people, on stderr."""
    print(redact(text), file=sys.stderr, flush=True)


def format_score(score: float | None) -> str:
    """Ten significant digits: enough to tell records apart."""
    return "-" if score is None else f"{score:.10g}"


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def money(usd: float | None, tokens: int) -> str:
    """Cost of model calls; unknown is said, never shown as 0."""
    if tokens == 0:
        return "no model calls"
    return f"{tokens:,} tokens, " + ("cost unknown" if usd is None else f"{usd:.4f} USD")


def _cell(value: object) -> str:
    text = "-" if value is None else str(value)
    return "".join(character if character.isprintable() else " " for character in text)
