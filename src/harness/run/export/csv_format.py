"""The table as CSV (RFC 4180, UTF-8, header line)."""

import csv
from pathlib import Path
from typing import Any, cast

from harness.run.export.table import Table


def write_csv(table: Table, path: Path) -> int:
    """Write the table; returns the number of rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in table.columns])
        for row in table.rows:
            writer.writerow([_cell(row[column.name]) for column in table.columns])
    return len(table.rows)


def _cell(value: Any) -> str:
    """Nothing for null, ids with a space between them, numbers with all their digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(cast(list[str], value))
    return repr(value) if isinstance(value, float) else str(value)
