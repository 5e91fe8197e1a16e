"""`harness export`: a run as files for other tools."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from harness.cli.output import JsonFlag, RunsDir, print_json, runs_folder
from harness.events import SCHEMA_VERSION
from harness.run.export.formats import FormatName, export_run
from harness.run.folder import find_run


def export(
    run: Annotated[str, Parameter(help="A run's folder, its id, or latest.")] = "latest",
    *,
    format: Annotated[  # noqa: A002 - the name of the flag
        FormatName,
        Parameter(
            help="Attempts as csv, jsonl or parquet; model steps as sft; evotrace: a folder."
        ),
    ],
    to: Annotated[Path, Parameter(help="The file to write; of evotrace the folder.")],
    force: Annotated[
        bool, Parameter(negative=(), help="Replace what an earlier export left there.")
    ] = False,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """A run as files for other tools; of live, dead and copied runs."""
    folder = find_run(run, runs_folder(runs_dir))
    target = to.expanduser()
    counts = export_run(folder, format, target, force=force)
    if json:
        print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "run": folder.id,
                "format": format,
                "path": str(target),
                "counts": dict(counts),
            }
        )
        return
    written = ", ".join(f"{count} {name}" for name, count in counts.items() if name != "left_out")
    print(f"{target}: {written}")
    if counts.get("left_out"):
        print(f"{counts['left_out']} answers of models were left out: their prompts are not known")
