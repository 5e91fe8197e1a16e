"""Stopping, interrupting and resuming runs as a user does."""

import json
import signal
import subprocess
import time
from typing import Any

from tests.e2e.conftest import Cli

LAUNCH = ("launch", "circle_packing", "--agents", "2", "--sandbox", "process")
PATIENCE_S = 60.0


def _wait_for_evaluations(cli: Cli, count: int) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        runs = cli.json("runs")["runs"]
        if runs and runs[-1]["evaluations"] >= count:
            found: dict[str, Any] = runs[-1]
            return found
        time.sleep(0.3)
    raise AssertionError(f"no run reached {count} evaluations")


def _end(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    lines = stdout.splitlines()
    assert lines, stderr
    return process.returncode, json.loads(lines[-1])


def test_stop_drains_and_resume_goes_on(cli: Cli) -> None:
    process = cli.start(*LAUNCH, "--evals", "5000", "--json")
    run = _wait_for_evaluations(cli, 4)["run"]
    assert cli.json("status", run)["state"] == "running"
    assert cli.json("stop", run)["answer"] == "stopping"
    code, done = _end(process)
    assert (code, done["reason"]) == (0, "stopped")
    attempts = cli.json("attempts", run)["attempts"]
    assert not [a for a in attempts if a["status"] in ("queued", "running")]
    total = done["evaluations"] + 5
    resumed = cli.launch("resume", run, "--evals", str(total))[-1]
    assert (resumed["reason"], resumed["evaluations"]) == ("evaluations", total)


def test_control_c_drains_once_and_stops_at_once_the_second_time(cli: Cli) -> None:
    process = cli.start(*LAUNCH, "--evals", "5000", "--json")
    _wait_for_evaluations(cli, 3)
    process.send_signal(signal.SIGINT)
    code, done = _end(process)
    assert (code, done["reason"]) == (0, "stopped")

    second = cli.start("resume", done["run"], "--json")
    _wait_for_evaluations(cli, done["evaluations"] + 2)
    second.send_signal(signal.SIGINT)
    second.send_signal(signal.SIGINT)
    _end(second)
    status = cli.json("status", done["run"])
    assert status["state"] == "ended"
    total = status["evaluations"] + 3
    resumed = cli.launch("resume", done["run"], "--evals", str(total))[-1]
    assert resumed["evaluations"] == total


def test_a_run_is_run_by_one_process_only(cli: Cli) -> None:
    process = cli.start(*LAUNCH, "--evals", "5000", "--json")
    run = _wait_for_evaluations(cli, 2)["run"]
    before = cli.json("status", run)["budget"]
    refused = cli("resume", run, "--evals", "+5", code=2)
    assert f"being run by process {process.pid}" in refused.stderr
    assert cli.json("status", run)["budget"] == before
    cli("stop", run)
    _end(process)


def test_stop_of_a_run_that_is_not_live(cli: Cli) -> None:
    run = cli.launch(*LAUNCH, "--evals", "2")[-1]["run"]
    refused = cli("stop", run, code=2)
    assert "is not running" in refused.stderr


def test_a_spent_budget_is_said_before_anything_starts(cli: Cli) -> None:
    run = cli.launch(*LAUNCH, "--evals", "3")[-1]["run"]
    before = cli.json("attempts", run)
    refused = cli("resume", run, code=2)
    assert "has used its budget up: 3 of 3 evaluations" in refused.stderr
    assert f"harness resume {run} --evals +3" in refused.stderr
    cli("resume", run, "--evals", "2", code=2)
    assert cli.json("status", run)["budget"]["evaluations"] == 3, "a refused resume changes nothing"
    assert cli.json("attempts", run) == before


def test_a_reader_that_goes_away_does_not_end_the_run(cli: Cli) -> None:
    process = cli.start(*LAUNCH, "--evals", "12", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "launch"
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 0
    assert cli.json("status")["evaluations"] == 12
