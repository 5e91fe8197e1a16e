"""The table as Parquet, by pyarrow, which is not installed with the harness."""

from pathlib import Path
from typing import Any, cast

from harness.errors import UserError
from harness.run.export.table import Kind, Table


def write_parquet(table: Table, path: Path) -> int:
    """Write the table; returns the number of rows.

    Raises:
        UserError: pyarrow is missing.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "Parquet needs the package pyarrow, which is not installed",
            expected="pyarrow beside the harness, or another format: csv, jsonl",
            action="pip install pyarrow",
        ) from error
    kinds: dict[Kind, Any] = {
        Kind.TEXT: pa.string(),
        Kind.NUMBER: pa.float64(),
        Kind.COUNT: pa.int64(),
        Kind.FLAG: pa.bool_(),
        Kind.IDS: pa.list_(pa.string()),
    }
    fields = [(column.name, kinds[column.kind]) for column in table.columns]
    rows = cast(Any, pa.Table.from_pylist(list(table.rows), schema=cast(Any, pa.schema(fields))))
    parquet.write_table(rows, path)
    return len(table.rows)
