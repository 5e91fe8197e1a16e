"""A run in a process of its own, which outlives the terminal it was started from."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from harness.cli.output import print_record
from harness.errors import UserError
from harness.run.folder import RunFolder, live_process
from harness.run.views import read_run

LOG = "launch.log"
"""In the run's folder: what the process printed, the records of `--json` included."""

EXIT_USER = 2
POLL_S = 0.05
ERROR_CHARACTERS = 4000
PROGRAM = "from harness.cli.main import main; main()"


def start_detached(folder: RunFolder, flags: Sequence[str], *, fresh: bool, json: bool) -> int:
    """Run what is in `folder` in a new process; returns once its `launch` record is out.

    Returns the exit code: 0, or that of the process when it died before that. A `fresh` run of
    which nothing was started is removed where the user has something to correct first.
    """
    log = folder.path / LOG
    try:
        output = log.open("ab")
    except OSError as error:
        raise UserError(
            f"{log} cannot be written: {error.strerror}",
            expected="a run in a folder that can be written",
            action="copy the run to such a folder, and name the copy",
        ) from error
    with output:
        begin = output.tell()
        # -P: the working directory holds the user's files, not modules of ours.
        command = [sys.executable, "-P", "-c", PROGRAM, "resume", str(folder.path), *flags]
        child = subprocess.Popen(
            [*command, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        record = _launched(child, log, begin)
    except KeyboardInterrupt:
        child.send_signal(signal.SIGTERM)
        raise
    if record is None:
        sys.stderr.write(_errors(log, begin))
        if fresh and child.returncode == EXIT_USER and nothing_started(folder):
            shutil.rmtree(folder.path)
        return child.returncode or 1
    if json:
        print_record(record | {"pid": child.pid, "log": str(log)})
    else:
        _explain(folder, child.pid, log)
    return 0


def nothing_started(folder: RunFolder) -> bool:
    """Whether nothing is lost without the run: it has no attempt, and nobody else resumed it."""
    return live_process(folder) is None and not read_run(folder).attempts


def _launched(child: "subprocess.Popen[bytes]", log: Path, begin: int) -> dict[str, Any] | None:
    """The `launch` record; None when the process ended without one."""
    while True:
        ended = child.poll() is not None  # before reading, so that its last words are read
        for line in _lines(log, begin):
            record = _record(line)
            if record is not None and record.get("type") == "launch":
                return record
        if ended:
            return None
        time.sleep(POLL_S)


def _lines(log: Path, begin: int) -> list[str]:
    """Whole lines written since `begin`."""
    with log.open("rb") as file:
        file.seek(begin)
        return file.read().decode("utf-8", "replace").split("\n")[:-1]


def _record(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        return cast(dict[str, Any], json.loads(line))
    except ValueError:
        return None


def _errors(log: Path, begin: int) -> str:
    said = [line for line in _lines(log, begin) if _record(line) is None]
    return "\n".join(said)[-ERROR_CHARACTERS:] + "\n"


def _explain(folder: RunFolder, pid: int, log: Path) -> None:
    name = folder.id if folder.path.parent == Path("runs").absolute() else str(folder.path)
    print(f"run    {folder.id}, process {pid}")
    print(f"path   {folder.path}")
    print(f"log    {log}")
    print(f"watch  harness status {name} --watch")
    print(f"stop   harness stop {name}")
