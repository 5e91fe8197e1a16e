"""The folder of a run, its lock, and how a run is found by name."""

import difflib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RunNotFoundError, UserError
from harness.run.database import DATABASE


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where each thing of a run lies. The folder can be copied; paths are relative to it."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def database(self) -> Path:
        return self.path / DATABASE

    @property
    def repository(self) -> Path:
        """Bare git repository of the attempts."""
        return self.path / "attempts.git"

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def task(self) -> Path:
        """Copy of the task without its private data."""
        return self.path / "task"

    @property
    def checkpoints(self) -> Path:
        return self.path / "agents.db"

    @property
    def transcripts(self) -> Path:
        return self.path / "transcripts"

    @property
    def workspaces(self) -> Path:
        return self.path / "workspaces"

    @property
    def scratch(self) -> Path:
        """Folders of running evaluations; emptied at every start."""
        return self.path / "scratch"

    @property
    def lock(self) -> Path:
        return self.path / "run.lock"


DRAFT = ".draft-"
"""How the name of a run that is being made begins; it gets its own name when it is whole."""


class RunLock:
    """Held by the one process that runs the run; freed by the kernel when it dies."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            UserError: Another process runs this run.
        """
        file = os.open(self._folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(file, 32).decode("ascii", "replace").strip()
            os.close(file)
            raise UserError(
                f"run {self._folder.id} is being run by process {holder or 'unknown'}",
                expected="a run that has ended or was killed",
                action=f"look at what it does: harness status {self._folder.path}",
            ) from error
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode("ascii"))
        self._file = file

    def release(self) -> None:
        """Let go; may be called twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def live_process(folder: RunFolder) -> int | None:
    """Process id of whoever runs the run now; None when nobody does."""
    try:
        file = os.open(folder.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(file, 32).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(file)
    return None


def all_runs(runs_dir: Path) -> list[RunFolder]:
    """Runs in a folder, oldest launch first."""
    if not runs_dir.is_dir():
        return []
    found = [path.parent for path in runs_dir.absolute().glob(f"*/{DATABASE}")]
    whole = [path for path in found if not path.name.startswith(DRAFT)]
    return [RunFolder(path) for path in sorted(whole, key=_launched)]


def dead_drafts(runs_dir: Path) -> list[Path]:
    """What launches that were killed before their run was whole have left."""
    return [path for path in runs_dir.glob(f"{DRAFT}*") if live_process(RunFolder(path)) is None]


def find_run(reference: str, runs_dir: Path) -> RunFolder:
    """A run by path, by id or unambiguous beginning of one, or `latest`.

    Raises:
        RunNotFoundError: None, or several; names the nearest.
    """
    path = Path(reference).expanduser()
    if (path / DATABASE).is_file():
        return RunFolder(path.resolve())
    runs = all_runs(runs_dir)
    if reference == "latest" and runs:
        return runs[-1]
    matching = [run for run in runs if run.id.startswith(reference)]
    exact = [run for run in matching if run.id == reference]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    known = [run.id for run in runs]
    nearest = difflib.get_close_matches(reference, known, n=1, cutoff=0.4)
    if matching:
        wrong = f"run {reference!r} is ambiguous: {', '.join(run.id for run in matching[-5:])}"
    else:
        wrong = f"no run {reference!r} in {runs_dir}"
    hint = f"did you mean {nearest[0]!r}? " if nearest and not matching else ""
    raise RunNotFoundError(
        wrong,
        expected="a run's folder, its id, or `latest`",
        action=f"{hint}`harness runs` lists them; --runs-dir names another folder",
    )


def _launched(path: Path) -> tuple[str, float, str]:
    stamp = "-".join(path.name.rsplit("-", 3)[1:3])
    return stamp, path.stat().st_ctime, path.name
