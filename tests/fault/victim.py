"""A run that is launched, killed and resumed, and what must hold of it however often."""

import contextlib
import json
import os
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.conftest import HARNESS
from tests.e2e.reading import events, query

from harness.memory.folder import DATABASE as MEMORY_DATABASE

UNCHARGED = ("evaluator_error", "sandbox_lost", "cancelled")
GIT = ("git", "-c", "safe.directory=*")


class Snapshot(NamedTuple):
    """What the store held when nobody ran the run."""

    verdicts: dict[int, str]
    unfinished: set[int]
    events: int


@dataclass
class Victim:
    """A folder with its own runs, memory and temporary files; one run is made in it."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.temporary.mkdir(mode=0o755, exist_ok=True)

    @property
    def memory(self) -> Path:
        return self.folder / "memory"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def runs(self) -> list[Path]:
        """Folders that hold a run, oldest first."""
        found = self.folder.glob("runs/[!.]*/run.db")
        return sorted((path.parent for path in found), key=lambda run: run.stat().st_ctime)

    @property
    def run(self) -> Path:
        return self.runs[-1]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `harness`; both its streams go to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [HARNESS, *arguments],
                cwd=self.folder, env=self.variables(), stdout=log, stderr=log,
            )  # fmt: skip

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of `harness` to its end."""
        return subprocess.run(
            [HARNESS, *arguments],
            cwd=self.folder, env=self.variables(), timeout=120,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def variables(self) -> dict[str, str]:
        """The environment of its processes."""
        own = {"HARNESS_MEMORY": str(self.memory), "TMPDIR": str(self.temporary)}
        # A model that answers by rote has nothing to say of what was learnt.
        own["HARNESS_MEMORY__DISTIL_BY_MODEL"] = "false"
        return {**os.environ, **own, **self.environment}

    def said(self) -> str:
        """The end of the log."""
        return self.log.read_text("utf-8", "replace")[-3000:]

    def events(self) -> int:
        """Length of the journal; 0 while there is none."""
        try:
            return int(query(self.run, "SELECT COUNT(*) AS n FROM events")[0]["n"])
        except (IndexError, FileNotFoundError, sqlite3.OperationalError):
            return 0

    def snapshot(self) -> Snapshot:
        rows = query(self.run, "SELECT id, status, verdict FROM attempts")
        return Snapshot(
            verdicts={row["id"]: row["verdict"] for row in rows if row["verdict"]},
            unfinished={row["id"] for row in rows if row["status"] in ("queued", "running")},
            events=self.events(),
        )


def check_run(victim: Victim, snapshots: Sequence[Snapshot], evaluations: int) -> None:
    """What must hold of a run that came to its end.

    Args:
        snapshots: What there was at each kill, in order.
        evaluations: Its budget, which it has used to the last one.
    """
    final, run = victim.snapshot(), victim.run
    for snapshot in snapshots:
        assert snapshot.verdicts.items() <= final.verdicts.items(), "a verdict was lost or changed"
    assert not final.unfinished, "an evaluation was left behind"
    charged = [v for v in final.verdicts.values() if json.loads(v)["status"] not in UNCHARGED]
    assert len(charged) == evaluations, "the budget was not kept"
    _check_journal(run, final)
    _check_requeues(run, snapshots, final.events)
    _check_trees(run)
    _check_heartbeats(run)
    _check_repository(run)
    _check_memory(run, victim.memory)


def _check_journal(run: Path, final: Snapshot) -> None:
    judged = {int(event["attempt"]): event["sequence"] for event in events(run, "verdict")}
    assert len(judged) == len(events(run, "verdict")), "an attempt was judged twice"
    assert set(judged) == set(final.verdicts), "journal and attempts differ"
    for event in events(run, "started"):
        assert event["sequence"] < judged[int(event["attempt"])], "started after its verdict"


def _check_requeues(run: Path, snapshots: Sequence[Snapshot], end: int) -> None:
    """What a kill interrupted was queued again once before the next kill, and nothing else; a
    resume that was killed before it did so started nothing either."""
    bounds = [snapshot.events for snapshot in snapshots] + [end]
    for snapshot, after, until in zip(snapshots, bounds, bounds[1:], strict=False):
        since = [e for e in events(run, "requeued") if after < e["sequence"] <= until]
        requeued = Counter(int(event["attempt"]) for event in since)
        started = [e for e in events(run, "started") if after < e["sequence"] <= until]
        if requeued or started:
            wanted = Counter(dict.fromkeys(snapshot.unfinished, 1))
            assert requeued == wanted, "not queued again exactly once"


def _check_trees(run: Path) -> None:
    with closing(sqlite3.connect(run / "run.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        judged = f"status NOT IN {('duplicate', *UNCHARGED)}"
        rows = db.execute(f"SELECT tree FROM attempts WHERE {judged}").fetchall()
    trees = Counter(tree for (tree,) in rows)
    assert set(trees.values()) == {1}, "a tree was judged twice"


def _check_heartbeats(run: Path) -> None:
    twice = "GROUP BY firing, agent HAVING COUNT(*) > 1"
    sql = f"SELECT * FROM interventions WHERE firing IS NOT NULL {twice}"
    assert not query(run, sql), "a heartbeat was told twice"


def _check_repository(run: Path) -> None:
    repository = run / "attempts.git"
    fsck = [*GIT, "-C", str(repository), "fsck", "--full", "--strict"]
    checked = subprocess.run(fsck, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    listed = subprocess.run(
        [*GIT, "-C", str(repository), "for-each-ref", "--format=%(refname) %(objectname)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    refs = dict(line.split() for line in listed.stdout.splitlines())
    rows = query(run, "SELECT id, commit_hash FROM attempts")
    wanted = {f"refs/attempts/{row['id']}": row["commit_hash"] for row in rows}
    assert refs == {**wanted, "refs/heads/main": _best_commit(run)}


def _best_commit(run: Path) -> str:
    """The earliest verdict among those of the best score."""
    direction = query(run, "SELECT value FROM meta WHERE key = 'direction'")[0]["value"]
    sign = 1 if direction == "maximize" else -1
    rows = query(
        run,
        "SELECT commit_hash, verdict FROM attempts WHERE status = 'scored'"
        " ORDER BY evaluated_at, id",
    )
    best = max(rows, key=lambda row: sign * json.loads(row["verdict"])["score"])
    return str(best["commit_hash"])


def _check_memory(run: Path, memory: Path) -> None:
    """Each charged attempt has its record, with its score, and is credited at most once; the run's
    own log knows the same writes and credits."""
    attempts = {
        str(row["id"]): json.loads(row["verdict"])["score"]
        for row in query(run, "SELECT id, verdict FROM attempts WHERE verdict IS NOT NULL")
        if json.loads(row["verdict"])["status"] not in UNCHARGED
    }
    with closing(sqlite3.connect(memory / MEMORY_DATABASE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        own = "run = ? AND attempt IS NOT NULL"
        records = db.execute(
            f"SELECT attempt, score FROM records WHERE {own} AND kind = 'attempt'", (run.name,)
        ).fetchall()
        credited = db.execute(
            f"SELECT attempt FROM log WHERE {own} AND op = 'credit'", (run.name,)
        ).fetchall()
        counted = db.execute("SELECT COALESCE(SUM(count), 0) FROM uses").fetchone()[0]
        shown = db.execute(
            "SELECT COUNT(*) FROM shown JOIN log ON entry = number WHERE op = 'credit'"
        ).fetchone()[0]
    assert len(records) == len(attempts), "not one record for each attempt"
    assert dict(records) == attempts, "the memory has another score"
    assert counted == shown, "uses are not counted once for each credit"
    assert _logged(run, "write") == Counter(attempts.keys()), "the run's log has other writes"
    assert _logged(run, "credit") == Counter(attempt for (attempt,) in credited)


def _logged(run: Path, op: str) -> Counter[str]:
    sql = "SELECT attempt FROM memory_log WHERE op = ? AND attempt IS NOT NULL"
    return Counter(str(row["attempt"]) for row in query(run, sql, op))


def check_acknowledged(victim: Victim) -> None:
    """Each verdict that was printed is there as it was printed, whoever was killed then."""
    attempts = {str(row["id"]): row for row in query(victim.run, "SELECT * FROM attempts")}
    for record in records(victim.log):
        if record["type"] == "attempt" and record["run"] == victim.run.name:
            there = attempts[record["id"]]
            assert there["commit_hash"] == record["commit"]
            assert there["status"] == record["status"]
            assert json.loads(there["verdict"])["score"] == record["score"]


def leftovers(victim: Victim) -> list[str]:
    """Processes, temporary files and working folders that are still there."""
    found = [str(path) for path in victim.temporary.iterdir()]
    found += [str(path) for run in victim.runs for path in run.glob("scratch/*")]
    return found + [_described(process) for process in _processes(victim.folder)]


def runners(victim: Victim) -> list[int]:
    """Processes that run the run, or are about to: one that was detached has no lock at first."""
    found: list[int] = []
    for process in _processes(victim.folder):
        with contextlib.suppress(OSError):
            if {b"launch", b"resume"} & set((process / "cmdline").read_bytes().split(b"\0")):
                found.append(int(process.name))
    return found


def _processes(folder: Path) -> list[Path]:
    """Processes that run below a folder or have it in their command or environment."""
    marker = str(folder).encode()
    found: list[Path] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            at = str((process / "cwd").readlink()).encode()
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it is gone, or a zombie
        if at.startswith(marker) or marker in told:
            found.append(process)
    return found


def _described(process: Path) -> str:
    try:
        return f"{process.name}: {(process / 'cmdline').read_bytes()[:200]!r}"
    except OSError:
        return process.name


def records(path: Path) -> list[dict[str, Any]]:
    """The whole JSON lines of a file in which other lines may stand too."""
    found: list[dict[str, Any]] = []
    for line in path.read_text("utf-8", "replace").splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # a kill cut it off
    return found
