"""States that only a kill leaves behind, made here without one."""

import json
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.conftest import Cli
from tests.e2e.reading import query

from harness.clock import SystemClock
from harness.errors import UserError
from harness.run.control import send
from harness.run.folder import RunFolder, all_runs, dead_drafts, find_run, live_process
from harness.run.store import Store

LAUNCH = ("launch", "circle_packing", "--agents", "2", "--sandbox", "process")
PATIENCE_S = 120.0


def change(run: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        db.execute(sql, values)


def test_a_run_that_was_being_made_is_no_run(tmp_path: Path) -> None:
    whole, draft = tmp_path / "task-20260101-000000-aaaa", tmp_path / ".draft-task-b"
    for folder in (whole, draft):
        folder.mkdir()
        Store.create(folder, SystemClock(), {}).close()
    (tmp_path / ".git").mkdir()
    assert [run.path for run in all_runs(tmp_path)] == [whole]
    assert find_run("latest", tmp_path).path == whole
    assert dead_drafts(tmp_path) == [draft]


@pytest.mark.slow
def test_a_command_of_a_dead_run_is_not_obeyed_by_the_next(cli: Cli) -> None:
    run = cli.folder / "runs" / cli.launch(*LAUNCH, "--evals", "2")[-1]["run"]
    added = json.dumps({"values": {"budget.evaluations": "+50"}})
    for command, arguments in (("set", added), ("stop", "{}")):
        values = "(NULL, 0, ?, ?, NULL, NULL)"
        change(run, f"INSERT INTO commands VALUES {values}", command, arguments)
    done = cli.launch("resume", run.name, "--evals", "4")[-1]
    assert (done["reason"], done["evaluations"]) == ("evaluations", 4)
    answers = [json.loads(row["answer"]) for row in query(run, "SELECT answer FROM commands")]
    assert [answer["done"] for answer in answers] == [False, False]
    assert "was killed before it answered" in answers[0]["text"]


@pytest.mark.slow
def test_a_kill_between_the_last_verdict_and_the_end(cli: Cli) -> None:
    run = cli.folder / "runs" / cli.launch(*LAUNCH, "--evals", "3")[-1]["run"]
    change(run, "UPDATE sessions SET reason = NULL")
    change(run, "DELETE FROM memory_log WHERE attempt = 2")
    assert cli.json("status", run.name)["state"] == "interrupted"
    done = cli.launch("resume", run.name)[-1]
    assert (done["reason"], done["evaluations"]) == ("evaluations", 3)
    assert cli.json("status", run.name)["state"] == "ended"
    sql = "SELECT * FROM memory_log WHERE attempt = 2 AND op = 'write'"
    assert len(query(run, sql)) == 1, "what the kill kept from the memory"
    cli("resume", run.name, code=2)


@pytest.mark.slow
def test_whoever_waits_for_an_answer_learns_of_the_kill(cli: Cli) -> None:
    process = cli.start(*LAUNCH, "--evals", "500", "--json")
    assert process.stdout is not None
    folder = RunFolder(Path(json.loads(process.stdout.readline())["path"]))
    assert live_process(folder) == process.pid
    os.kill(process.pid, signal.SIGSTOP)
    threading.Timer(1.0, process.kill).start()
    start = time.monotonic()
    with pytest.raises(UserError, match="was killed before it answered 'tell'"):
        send(folder, "tell", text="hello")
    assert time.monotonic() - start < 20, "it did not wait in vain"
