"""SIGTERM and SIGINT at random moments, two resumes at once, an inbox that is flooded, a run folder
that cannot be written: nothing is lost, and who has to know is told."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.reading import query
from tests.fault.victim import Snapshot, Victim, check_acknowledged, check_run, leftovers

pytestmark = pytest.mark.slow

LAUNCH = ("launch", "circle_packing", "--agents", "2", "--sandbox", "process", "--json")
PATIENCE_S = 120.0
SIGNALLED = (0, 1, 130, -signal.SIGINT, -signal.SIGTERM)
"""Drained; stopped at once; before the run had taken the signals over."""


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    victim = Victim(tmp_path)
    yield victim
    deadline = time.monotonic() + 20
    while found := leftovers(victim):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def wait_for_verdicts(victim: Victim, count: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    sql = "SELECT id FROM attempts WHERE verdict IS NOT NULL"
    while not victim.runs or len(query(victim.run, sql)) < count:
        assert process.poll() is None, victim.said()
        assert time.monotonic() < deadline, victim.said()
        time.sleep(0.02)


@pytest.mark.parametrize("seed", [1])
def test_signals_at_random_moments(victim: Victim, seed: int) -> None:
    rng = random.Random(seed)
    snapshots: list[Snapshot] = []
    for number in range(6):
        arguments = ("resume", "latest", "--json") if victim.runs else (*LAUNCH, "--evals", "150")
        process = victim.start(*arguments)
        time.sleep(rng.uniform(0.0, 2.5))
        for _ in range(1 + number % 2):  # a second one stops at once
            process.send_signal(rng.choice([signal.SIGTERM, signal.SIGINT]))
            time.sleep(rng.uniform(0.0, 0.3))
        assert process.wait(PATIENCE_S) in SIGNALLED, victim.said()
        if victim.runs:
            snapshots.append(victim.snapshot())
            assert victim.ask("status").returncode == 0
            if len(snapshots[-1].verdicts) >= 150:
                break
    if len(snapshots[-1].verdicts) < 150:
        assert victim.start("resume", "latest", "--json").wait(PATIENCE_S) == 0, victim.said()
    # But where a signal comes before our own code is loaded, nothing of it is seen.
    said = victim.log.read_text("utf-8")
    assert said.count("Traceback") == said.count("import main\n"), said
    check_acknowledged(victim)
    check_run(victim, snapshots, 150)


def test_one_of_two_resumes_wins(victim: Victim) -> None:
    process = victim.start(*LAUNCH, "--evals", "150")
    wait_for_verdicts(victim, 3, process)
    process.kill()
    process.wait()
    snapshot = victim.snapshot()
    both = [victim.start("resume", "latest", "--json") for _ in range(2)]
    assert sorted(each.wait(PATIENCE_S) for each in both) == [0, 2], victim.said()
    assert "is being run by process" in victim.log.read_text("utf-8")
    check_run(victim, [snapshot], 150)


def test_a_flooded_inbox(victim: Victim) -> None:
    process = victim.start(*LAUNCH, "--evals", "40")
    wait_for_verdicts(victim, 3, process)
    told = json.dumps({"text": "again"})
    commands = [("tell", told), ("nonsense", "{}"), ("set", '{"values": {"budget.hours": "x"}}')]
    with closing(sqlite3.connect(victim.run / "run.db", timeout=30)) as db, db:
        insert = "INSERT INTO commands VALUES (NULL, 0, ?, ?, NULL, NULL)"
        db.executemany(insert, commands * 300)
    assert process.wait(PATIENCE_S) == 0, victim.said()
    answers = query(victim.run, "SELECT answer FROM commands")
    assert len(answers) == 900
    assert all(row["answer"] for row in answers)
    check_run(victim, [], 40)


def test_a_run_folder_on_a_read_only_disk(victim: Victim) -> None:
    process = victim.start(*LAUNCH, "--evals", "25")
    wait_for_verdicts(victim, 3, process)
    process.kill()
    process.wait()
    snapshot, run = victim.snapshot(), victim.run
    subprocess.run(["mount", "--bind", run, run], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", run], check=True)
        verbs = (["status"], ["attempts"], ["report"], ["graph"], ["show", "latest", "0"], ["runs"],
                 ["memory", "log", "latest"], ["heartbeat", "log"])  # fmt: skip
        for verb in verbs:
            asked = victim.ask(*verb)
            assert asked.returncode == 0, (verb, asked.stderr)
        for arguments in (["resume"], ["resume", "--detach"], ["tell", "latest", "hello"]):
            asked = victim.ask(*arguments)
            assert asked.returncode == 2, (arguments, asked.stderr)
            begins = [line.split()[0] for line in asked.stderr.splitlines()]
            assert begins == ["error:", "expected:", "to"], asked.stderr
    finally:
        subprocess.run(["umount", run], check=True)
    assert victim.start("resume", "latest", "--json").wait(PATIENCE_S) == 0, victim.said()
    check_run(victim, [snapshot], 25)


JUMPING = """
import random, sys, time
from harness.cli.main import main

real, rng = time.time, random.Random(1)
time.time = lambda: real() + rng.choice([-36_000, 0, 36_000])
main(sys.argv[1:])
"""


def test_a_clock_that_jumps(victim: Victim) -> None:
    """By ten hours to and fro, all the time; the clock of another session is behind for good."""
    arguments = [*LAUNCH, "--evals", "15", "--hours", "1"]
    command = [sys.executable, "-c", JUMPING, *arguments]
    done = subprocess.run(
        command, cwd=victim.folder, env=victim.variables(), timeout=PATIENCE_S,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["reason"] == "evaluations"
    assert last["wall_s"] < PATIENCE_S
    kinds = {row["kind"] for row in query(victim.run, "SELECT kind FROM events")}
    assert kinds.isdisjoint({"crash", "warning"})
    with closing(sqlite3.connect(victim.run / "run.db")) as db, db:
        for table in ("events SET at = at", "attempts SET evaluated_at = evaluated_at"):
            db.execute(f"UPDATE {table} + 36000")
    resumed = victim.start("resume", "latest", "--evals", "25", "--json")
    assert resumed.wait(PATIENCE_S) == 0, victim.said()
    judged = "SELECT attempt AS id FROM events WHERE kind = 'verdict' ORDER BY sequence"
    dated = "SELECT id FROM attempts WHERE verdict IS NOT NULL ORDER BY evaluated_at, id"
    in_order = [[str(row["id"]) for row in query(victim.run, sql)] for sql in (judged, dated)]
    assert in_order[0] == in_order[1]
    check_run(victim, [], 25)
