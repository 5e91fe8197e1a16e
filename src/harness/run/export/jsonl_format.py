"""Records as JSON Lines: UTF-8, one object a line."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.run.export.table import Table


def write_jsonl(table: Table, path: Path) -> int:
    """Write the table; returns the number of rows."""
    return write_lines(table.rows, path)


def write_lines(records: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Write records that are clean already; returns their number."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count
