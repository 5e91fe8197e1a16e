"""SIGKILL of the launcher at random points of a run; what was recorded survives, exactly once."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.fault.victim import Snapshot, Victim, check_run

PATIENCE_S = 120.0


def _launch(victim: Victim, evaluations: int) -> subprocess.Popen[bytes]:
    return victim.start(
        "launch", "circle_packing", "--agents", "3", "--sandbox", "process",
        "--evals", str(evaluations), "--slots", "2", "--display", "plain",
    )  # fmt: skip


def _kill_at(
    victim: Victim, process: "subprocess.Popen[bytes]", events: int, extra_s: float
) -> bool:
    """SIGKILL once the journal has `events` entries; False if the run ended before."""
    deadline = time.monotonic() + PATIENCE_S
    while victim.events() < events and process.poll() is None:
        assert time.monotonic() < deadline, victim.said()
        time.sleep(0.005)
    time.sleep(extra_s)
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return not ended


def _kill_and_resume(victim: Victim, evaluations: int, kills: int, seed: int) -> list[Snapshot]:
    """Kill a run `kills` times, each time somewhere else, then let it end."""
    rng = random.Random(seed)
    snapshots: list[Snapshot] = []
    process = _launch(victim, evaluations)
    while len(snapshots) < kills:
        step = rng.randint(1, max(2, 4 * evaluations // kills))
        known = snapshots[-1].events if snapshots else 0
        assert _kill_at(victim, process, known + step, rng.uniform(0, 0.08)), "it was too short"
        snapshots.append(victim.snapshot())
        _lose_refs(victim.run / "attempts.git" / "refs")
        process = victim.start("resume", "latest", "--display", "plain")
    assert process.wait(PATIENCE_S) == 0, victim.said()
    return snapshots


def _lose_refs(refs: Path) -> None:
    """What a power failure may do besides: refs are not synced."""
    (refs / "heads" / "main").unlink(missing_ok=True)
    attempts = sorted(refs.glob("attempts/*"), key=lambda path: path.stat().st_mtime)
    for lost in attempts[-1:]:
        lost.write_bytes(b"")


def test_a_run_survives_three_kills(tmp_path: Path) -> None:
    victim = Victim(tmp_path)
    check_run(victim, _kill_and_resume(victim, 24, kills=3, seed=1), 24)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3])
def test_a_run_survives_twelve_kills(tmp_path: Path, seed: int) -> None:
    victim = Victim(tmp_path)
    snapshots = _kill_and_resume(victim, 60, kills=12, seed=seed)
    assert any(snapshot.unfinished for snapshot in snapshots), "no kill hit an evaluation"
    check_run(victim, snapshots, 60)
