"""SIGKILL of the launcher at random points of a run; what was recorded survives, exactly once."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.e2e.conftest import HARNESS

PATIENCE_S = 120.0


class Snapshot(NamedTuple):
    """What the store held when the launcher was dead."""

    verdicts: dict[int, str]
    unfinished: set[int]
    events: int


class Victim:
    """A run that is launched, killed and resumed."""

    def __init__(self, folder: Path, evaluations: int) -> None:
        self.folder = folder
        self.evaluations = evaluations
        self.environment = {**os.environ, "HARNESS_MEMORY": str(folder / "memory")}

    @property
    def run(self) -> Path:
        return next((self.folder / "runs").iterdir())

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.folder / "log.txt").open("ab")
        return subprocess.Popen(
            [HARNESS, *arguments, "--display", "plain"],
            cwd=self.folder, env=self.environment, stdout=log, stderr=log,
        )  # fmt: skip

    def launch(self) -> subprocess.Popen[bytes]:
        return self.start(
            "launch", "circle_packing", "--agents", "3", "--sandbox", "process",
            "--evals", str(self.evaluations), "--slots", "2",
        )  # fmt: skip

    def events(self) -> int:
        """Length of the journal; 0 while there is none."""
        try:
            database = self.run / "run.db"
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as db:
                return int(db.execute("SELECT COUNT(*) FROM events").fetchone()[0])
        except (StopIteration, FileNotFoundError, sqlite3.OperationalError):
            return 0

    def kill_at(self, process: subprocess.Popen[bytes], events: int, extra_s: float) -> bool:
        """SIGKILL once the journal has `events` entries; False if the run ended before."""
        deadline = time.monotonic() + PATIENCE_S
        while self.events() < events and process.poll() is None:
            assert time.monotonic() < deadline, (self.folder / "log.txt").read_text()
            time.sleep(0.005)
        time.sleep(extra_s)
        ended = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        return not ended

    def snapshot(self) -> Snapshot:
        with sqlite3.connect(self.run / "run.db") as db:
            rows = db.execute("SELECT id, status, verdict FROM attempts").fetchall()
            return Snapshot(
                verdicts={number: verdict for number, _, verdict in rows if verdict},
                unfinished={number for number, s, _ in rows if s in ("queued", "running")},
                events=db.execute("SELECT COUNT(*) FROM events").fetchone()[0],
            )


def _kill_and_resume(victim: Victim, kills: int, seed: int) -> list[Snapshot]:
    """Kill a run `kills` times, each time somewhere else, then let it end."""
    rng = random.Random(seed)
    snapshots: list[Snapshot] = []
    process = victim.launch()
    while len(snapshots) < kills:
        step = rng.randint(1, max(2, 4 * victim.evaluations // kills))
        known = snapshots[-1].events if snapshots else 0
        assert victim.kill_at(process, known + step, rng.uniform(0, 0.08)), "the run was too short"
        snapshots.append(victim.snapshot())
        _lose_refs(victim.run / "attempts.git" / "refs")
        process = victim.start("resume", "latest")
    assert process.wait(PATIENCE_S) == 0, (victim.folder / "log.txt").read_text()[-3000:]
    return snapshots


def _lose_refs(refs: Path) -> None:
    """What a power failure may do besides: refs are not synced."""
    (refs / "heads" / "main").unlink(missing_ok=True)
    attempts = sorted(refs.glob("attempts/*"), key=lambda path: path.stat().st_mtime)
    for lost in attempts[-1:]:
        lost.write_bytes(b"")


def _journal(run: Path) -> list[tuple[int, str, str, dict[str, Any]]]:
    with sqlite3.connect(run / "run.db") as db:
        rows = db.execute("SELECT sequence, kind, attempt, data FROM events ORDER BY sequence")
        return [
            (sequence, kind, attempt, json.loads(data)) for sequence, kind, attempt, data in rows
        ]


def _check(victim: Victim, snapshots: list[Snapshot]) -> None:
    final = victim.snapshot()
    journal = _journal(victim.run)
    for snapshot in snapshots:
        for attempt, verdict in snapshot.verdicts.items():
            assert final.verdicts[attempt] == verdict
    verdicts = Counter(attempt for _, kind, attempt, _ in journal if kind == "verdict")
    assert set(verdicts.values()) == {1}
    assert {int(attempt) for attempt in verdicts} == set(final.verdicts)

    with sqlite3.connect(victim.run / "run.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        rows = db.execute("SELECT tree, status, verdict FROM attempts").fetchall()
    trees = Counter(tree for tree, status, _ in rows if status != "duplicate")
    assert set(trees.values()) == {1}
    judged_at = {judged: sequence for sequence, kind, judged, _ in journal if kind == "verdict"}
    for sequence, kind, started, _ in journal:
        if kind == "started":
            assert sequence < judged_at[started]

    _check_requeues(snapshots, journal)
    charged = [v for v in final.verdicts.values() if json.loads(v)["status"] != "evaluator_error"]
    assert len(charged) == victim.evaluations
    assert not final.unfinished
    _check_repository(victim.run / "attempts.git", len(rows), _best_commit(victim.run))


def _check_requeues(
    snapshots: list[Snapshot], journal: list[tuple[int, str, str, dict[str, Any]]]
) -> None:
    """What each kill interrupted was queued again once before the next kill, and nothing else."""
    bounds = [snapshot.events for snapshot in snapshots] + [len(journal)]
    for snapshot, after, until in zip(snapshots, bounds, bounds[1:], strict=False):
        requeued = Counter(
            int(attempt)
            for sequence, kind, attempt, _ in journal
            if kind == "requeued" and after < sequence <= until
        )
        assert requeued == Counter(dict.fromkeys(snapshot.unfinished, 1))


def _best_commit(run: Path) -> str:
    """Of the highest score, which circle_packing is after; the earliest verdict among equals."""
    with sqlite3.connect(run / "run.db") as db:
        rows = db.execute(
            "SELECT commit_hash, verdict FROM attempts WHERE status = 'scored'"
            " ORDER BY evaluated_at, id"
        ).fetchall()
    return str(max(rows, key=lambda row: json.loads(row[1])["score"])[0])


def _check_repository(repository: Path, attempts: int, best: str) -> None:
    git = ["git", "-c", "safe.directory=*", "-C", str(repository)]
    checked = subprocess.run([*git, "fsck", "--full", "--strict"], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    refs = subprocess.run(
        [*git, "for-each-ref", "refs/attempts"], capture_output=True, text=True, check=True
    )
    assert len(refs.stdout.splitlines()) == attempts
    main = subprocess.run(
        [*git, "rev-parse", "refs/heads/main"], capture_output=True, text=True, check=True
    )
    assert main.stdout.strip() == best


def test_a_run_survives_three_kills(tmp_path: Path) -> None:
    victim = Victim(tmp_path, evaluations=24)
    _check(victim, _kill_and_resume(victim, kills=3, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_a_run_survives_twelve_kills(tmp_path: Path, seed: int) -> None:
    victim = Victim(tmp_path, evaluations=60)
    snapshots = _kill_and_resume(victim, kills=12, seed=seed)
    assert any(snapshot.unfinished for snapshot in snapshots), "no kill hit an evaluation"
    _check(victim, snapshots)
