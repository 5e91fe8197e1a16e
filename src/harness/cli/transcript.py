"""`harness transcript`: an agent's turns, tool calls and interventions."""

import json as jsonlib
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, cast

from cyclopts import Parameter, validators

from harness.cli.output import JsonFlag, RunsDir, print_json, print_record, runs_folder
from harness.clock import isoformat
from harness.events import SCHEMA_VERSION
from harness.run.folder import RunFolder, find_run, live_process
from harness.run.transcripts import DAMAGED, Transcript, transcript_of
from harness.text import visible

POLL_S = 0.5
PIPED_COLUMNS = 100
TRIMMED_LINES = 16
TRIMMED_CHARACTERS = 1600
INDENT = "          "
"""Below the time of day, and two columns."""


def transcript(
    run: Annotated[str, Parameter(help="A run's folder, its id, or latest.")] = "latest",
    agent: Annotated[str | None, Parameter(help="Its name; not needed of a single one.")] = None,
    *,
    follow: Annotated[
        bool, Parameter(negative=(), help="Go on until the run ends; JSON Lines with --json.")
    ] = False,
    last: Annotated[
        int | None,
        Parameter(help="Only so many of the newest records.", validator=validators.Number(gte=1)),
    ] = None,
    full: Annotated[bool, Parameter(negative=(), help="Nothing is trimmed.")] = False,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """An agent's turns, tool calls and interventions; of live and dead runs."""
    folder = find_run(run, runs_folder(runs_dir))
    name, reader = transcript_of(folder, agent)
    if follow:
        printer = None if json else _Printer(full=full)
        for record in _followed(folder, reader, last):
            if printer is None:
                print_record(_line(folder, name, record))
            else:
                printer.show(record)
        return
    live = live_process(folder) is not None
    records = reader.read(last=last)
    if json:
        print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "run": folder.id,
                "agent": name,
                "live": live,
                "records": [_dated(record) for record in records],
            }
        )
        return
    printer = _Printer(full=full)
    for record in records:
        printer.show(record)
    if not records:
        print(f"{name} has written nothing: an agent without a model has no conversation")
    elif reader.incomplete and not live:
        print("(the last line was cut off)")


def _followed(folder: RunFolder, reader: Transcript, last: int | None) -> Iterator[dict[str, Any]]:
    while True:
        live = live_process(folder) is not None  # before reading, so that the end is read
        yield from reader.read(last=last)
        if not live:
            return
        last = None
        time.sleep(POLL_S)


def _line(folder: RunFolder, agent: str, record: Mapping[str, Any]) -> dict[str, Any]:
    head = {"schema_version": SCHEMA_VERSION, "run": folder.id, "agent": agent}
    return head | _dated(record)


def _dated(record: Mapping[str, Any]) -> dict[str, Any]:
    at = record.get("at")
    return {**record, "at": isoformat(at) if isinstance(at, int | float) else None}


class _Printer:
    """Records for people: time, kind, wrapped text; the date where it changes."""

    def __init__(self, *, full: bool) -> None:
        self._full = full
        self._date = ""
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_COLUMNS
        self._columns = max(40, columns)

    def show(self, record: Mapping[str, Any]) -> None:
        at = record.get("at")
        clock = " " * 8
        if isinstance(at, int | float):
            moment = datetime.fromtimestamp(at).astimezone()
            if (date := moment.strftime("%Y-%m-%d %Z")) != self._date:
                self._date = date
                print(f"--- {date}")
            clock = moment.strftime("%H:%M:%S")
        title, parts = _parts(record)
        print(f"{clock}  {_inline(title)}")
        for part in parts:
            self._text(part)
        sys.stdout.flush()

    def _text(self, text: str) -> None:
        lines = [
            piece
            for line in visible(text).expandtabs(4).rstrip().split("\n")
            for piece in (
                textwrap.wrap(
                    line,
                    self._columns - len(INDENT),
                    replace_whitespace=False,
                    drop_whitespace=False,
                )
                or [""]
            )
        ]
        for line in lines if self._full else _trimmed(lines):
            print((INDENT + line).rstrip())


def _trimmed(lines: list[str]) -> list[str]:
    """Head and tail: what a command says last is often what matters."""
    shown = TRIMMED_LINES
    while shown > 4 and sum(map(len, lines[:shown])) > TRIMMED_CHARACTERS:
        shown -= 1
    if len(lines) <= shown + 1:
        return lines
    head = shown * 2 // 3
    tail = shown - head
    return [*lines[:head], f"[{len(lines) - shown} lines more: --full]", *lines[-tail:]]


def _parts(record: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Title and texts of a record; a type that is not known is shown as it is."""
    kind = str(record.get("type", "turn"))
    message = record.get("message")
    if kind == DAMAGED:
        return "damaged line", [str(record.get("text", ""))]
    if not isinstance(message, Mapping):
        return kind, _fields(record, without=("at", "type"))
    message = cast(Mapping[str, Any], message)
    known = ("at", "type", "message", "before", "name", "rule", "usage", "kind")
    others = _fields(record, without=known)
    content = _content(message.get("content"))
    texts = [content] if content.strip() else []
    if kind == "assistant":
        reasoning = _content(message.get("reasoning_content") or message.get("reasoning"))
        texts = [*([f"({reasoning})"] if reasoning.strip() else []), *texts]
        texts += [f"-> {_call(call)}" for call in _items(message.get("tool_calls"))]
        return _assistant_title(record), texts
    if kind == "tool":
        return f"tool {record.get('name', '')}".rstrip(), texts + others
    if record.get("rule") is not None:
        return f"{'told' if record['rule'] == 'user' else 'heartbeat'} {record['rule']}", texts
    return f"{kind} {message.get('harness') or ''}".rstrip(), texts + others


def _assistant_title(record: Mapping[str, Any]) -> str:
    usage = record.get("usage")
    title = "assistant"
    if isinstance(usage, Mapping):
        counts = cast(Mapping[str, Any], usage)
        asked, answered = counts.get("prompt_tokens", "?"), counts.get("completion_tokens", "?")
        title += f", {asked} + {answered} tokens"
    if record.get("finish_reason") not in (None, "stop", "tool_calls"):
        title += f", {record['finish_reason']}"
    return title


def _call(call: Mapping[str, Any]) -> str:
    """`bash(command: …)` with the arguments as text: escapes undone, one a line where long."""
    function = call.get("function")
    named: Mapping[str, Any] = (
        cast(Mapping[str, Any], function) if isinstance(function, Mapping) else call
    )
    name, raw = named.get("name", "?"), named.get("arguments", "")
    try:
        arguments = jsonlib.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        return f"{name} {raw}"
    if not isinstance(arguments, Mapping):
        return f"{name} {raw}"
    values = cast(Mapping[str, Any], arguments)
    shown = _lines(values)
    if len(shown) == 1 and "\n" not in shown[0]:
        return f"{name}  {shown[0]}"
    return "\n".join([str(name), *(f"   {text}" for text in shown)])


def _content(content: object) -> str:
    """Text of a message: a string, or parts of several types."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = _items(content)
    if not parts:
        return _dump(content)
    return "\n".join(str(part["text"]) if "text" in part else _dump(part) for part in parts)


def _items(value: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        return ()
    items = cast(list[object], value)
    return [cast(Mapping[str, Any], item) for item in items if isinstance(item, Mapping)]


def _fields(record: Mapping[str, Any], *, without: Sequence[str]) -> list[str]:
    fields = {key: value for key, value in record.items() if key not in without}
    return ["\n".join(_lines(fields))] if fields else []


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}: {value if isinstance(value, str) else _dump(value)}"
        for key, value in values.items()
    ]


def _dump(value: object) -> str:
    return jsonlib.dumps(value, ensure_ascii=False)


def _inline(text: str) -> str:
    return " ".join(visible(text).split())
