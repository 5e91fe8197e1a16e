"""The formats of an export by name, and the way in."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from harness.run.export.csv_format import write_csv
from harness.run.export.evotrace import write_evotrace
from harness.run.export.jsonl_format import write_jsonl
from harness.run.export.parquet_format import write_parquet
from harness.run.export.sft import write_sft
from harness.run.export.source import Source, open_source
from harness.run.export.table import Table, read_table
from harness.run.export.target import new_file, new_folder
from harness.run.folder import RunFolder

FormatName = Literal["evotrace", "csv", "jsonl", "parquet", "sft"]

Counts = Mapping[str, int]
Write = Callable[[Source, Path], Counts]


class Open(Protocol):
    """Gives a place to write to, which becomes the target when all went well."""

    def __call__(self, target: Path, *, force: bool) -> AbstractContextManager[Path]:
        """See `new_file` and `new_folder`."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is written, and whether it is a file or a folder."""

    write: Write
    open: Open = new_file


def _flat(write: Callable[[Table, Path], int]) -> Write:
    return lambda source, path: {"attempts": write(read_table(source), path)}


FORMATS: Mapping[FormatName, Format] = {
    "evotrace": Format(lambda source, path: asdict(write_evotrace(source, path)), new_folder),
    "csv": Format(_flat(write_csv)),
    "jsonl": Format(_flat(write_jsonl)),
    "parquet": Format(_flat(write_parquet)),
    "sft": Format(lambda source, path: asdict(write_sft(source, path))),
}


def export_run(run: RunFolder, name: FormatName, target: Path, *, force: bool = False) -> Counts:
    """Write a run to `target`; it appears there whole or not at all. Returns what was written.

    Raises:
        UserError: `target` cannot be used, or a package is missing.
        StoreError: The run's files are missing, damaged or of another version.
    """
    chosen = FORMATS[name]
    with chosen.open(target, force=force) as path, open_source(run) as source:
        return chosen.write(source, path)
