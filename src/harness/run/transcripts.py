"""Reading what agents did, turn by turn, of live, dead and copied runs."""

import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from harness.errors import UserError
from harness.run.folder import RunFolder
from harness.run.reading import reading

DAMAGED = "damaged"
"""Type of the record that stands for a line nobody can parse."""

_RECORD_START = '{"at": '
"""How every line begins; where a kill cut a line off, the next one follows on the same line."""

_CHUNK = 1 << 20


class Transcript:
    """One agent's file; `read` gives what came since the last `read`, whole lines only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    @property
    def incomplete(self) -> bool:
        """Whether the file ends in a line that is not whole."""
        return bool(self._rest.strip())

    def read(self, *, last: int | None = None) -> list[dict[str, Any]]:
        """The new records, or the `last` of them; memory holds no more than those."""
        return list(deque(self._records(), maxlen=last))

    def _records(self) -> Iterator[dict[str, Any]]:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._offset)
            while chunk := file.read(_CHUNK):
                self._offset += len(chunk)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield from _parsed(line.decode("utf-8", "replace"))


def transcript_of(folder: RunFolder, agent: str | None) -> tuple[str, Transcript]:
    """The transcript of an agent; with None, of the only agent there is.

    Raises:
        UserError: No such agent, or several to choose from; names them.
    """
    known = agents_of(folder)
    if agent is None and len(known) == 1:
        agent = known[0]
    if agent is None or agent not in known:
        names = ", ".join(known) or "none yet"
        raise UserError(
            f"run {folder.id} has {len(known)} agents"
            if agent is None
            else f"run {folder.id} has no agent {agent!r}",
            expected=f"one of its agents: {names}",
            action=f"harness transcript {folder.id} {known[0] if known else 'AGENT'}",
        )
    return agent, Transcript(folder.transcripts / f"{agent}.jsonl")


def agents_of(folder: RunFolder) -> list[str]:
    """Names of the agents a run has or had, in their order."""
    with reading(folder.database) as db:
        names = {str(row["agent"]) for row in db.execute("SELECT agent FROM agents")}
    names |= {path.stem for path in folder.transcripts.glob("*.jsonl")}
    return sorted(names, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _parsed(line: str) -> list[dict[str, Any]]:
    """The record of a line; of a cut-off line with a whole one behind it, both."""
    if (record := _record(line)) is not None:
        return [record]
    start = line.find(_RECORD_START, 1)
    while start > 0:
        if (record := _record(line[start:])) is not None:
            return [{"type": DAMAGED, "text": line[:start]}, record]
        start = line.find(_RECORD_START, start + 1)
    return [{"type": DAMAGED, "text": line}]


def _record(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None
