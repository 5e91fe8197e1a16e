"""Stopping, interrupting and resuming runs as a user does."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import HARNESS, TIMEOUT_S, Cli

from harness.cli.main import run as main
from harness.run.folder import RunFolder, live_process

LAUNCH = ("launch", "circle_packing", "--agents", "2", "--sandbox", "process")
PATIENCE_S = 120.0


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_spent_budget_is_said_before_anything_starts(cli: Cli) -> None:
    run = cli.launch(*LAUNCH, "--evals", "3")[-1]["run"]
    before = cli.json("attempts", run)
    refused = cli("resume", run, code=2)
    assert "has used its budget up: 3 of 3 evaluations" in refused.stderr
    assert f"harness resume {run} --evals +3" in refused.stderr
    cli("resume", run, "--evals", "2", code=2)
    assert cli.json("status", run)["budget"]["evaluations"] == 3, "a refused resume changes nothing"
    assert cli.json("attempts", run) == before


@pytest.mark.slow
def test_a_reader_that_goes_away_does_not_end_the_run(cli: Cli) -> None:
    process = cli.start(*LAUNCH, "--evals", "12", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "launch"
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 0
    assert cli.json("status")["evaluations"] == 12


def _three_lines(stderr: str) -> list[str]:
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert "Traceback" not in stderr
    assert lines[-3].startswith("error: ")
    assert lines[-2].strip().startswith("expected:")
    assert lines[-1].strip().startswith("to do:")
    return lines[-3:]


def _gone(cli: Cli, run: str) -> None:
    folder = RunFolder(cli.folder / "runs" / run)
    deadline = time.monotonic() + PATIENCE_S
    while live_process(folder) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def _ended_at_last(cli: Cli, record: dict[str, Any]) -> Generator[None]:
    """A detached process is nobody's child: it is ended here whatever happens."""
    try:
        yield
    finally:
        folder = RunFolder(Path(record["path"]))
        if live_process(folder) == record["pid"]:
            os.kill(record["pid"], signal.SIGKILL)
            _gone(cli, record["run"])


@pytest.mark.slow
def test_commands_to_a_run_that_is_over(cli: Cli) -> None:
    run = cli.launch(*LAUNCH, "--evals", "2")[-1]["run"]
    commands = (("stop", run), ("pause", run), ("tell", run, "agent-1", "hello"))
    for command in commands:
        wrong, _, action = _three_lines(cli(*command, code=2).stderr)
        assert f"run {run} is not running" in wrong
        assert "harness status" in action
    _, _, action = _three_lines(cli("set", run, "budget.evaluations=+5", code=2).stderr)
    assert f"harness resume {run} --evals" in action
    wrong, _, action = _three_lines(cli("resume", run, "agent-1", code=2).stderr)
    assert "'agent-1' cannot be resumed alone" in wrong
    assert f"harness resume {run}" in action


def test_commands_that_cannot_be_understood(capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        ("tell", "latest"): "nothing to tell",
        ("tell", "latest", "  "): "nothing to tell",
        ("tell", "latest", "try", "fewer", "circles"): "3 messages",
        ("set", "latest"): "nothing is set",
        ("set", "latest", "budget.evaluations"): "no assignment",
        ("set", "latest", "budget usd=3"): "no assignment",
        ("set", "latest", "agents=[1"): "the value of agents",
        ("launch", "circle_packing", "--agents", "x"): "--agents",
        ("launch",): "TASK is missing",
        ("attempts", "--limit", "0"): "--limit",
        ("status", "a", "b"): "does not take 'b'",
        ("launch", "circle_packing", "--memory", "all"): "--memory",
        ("lanch",): "Did you mean",
        ("launch", "circle_packing", "--agnets", "3"): "--agnets",
    }
    for arguments, said in cases.items():
        assert main(list(arguments)) == 2
        wrong, expected, _ = _three_lines(capsys.readouterr().err)
        assert said in wrong, arguments
        assert len(expected.split()) > 1, arguments


@pytest.mark.slow
def test_a_detached_launch_returns_and_lives_on(cli: Cli) -> None:
    process = cli.start(*LAUNCH, "--evals", "5000", "--detach", "--json")
    # The pipe's end is seen: the run does not hold it open.
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    (line,) = stdout.splitlines()
    record = json.loads(line)
    assert record["type"] == "launch"
    run, pid = record["run"], record["pid"]
    with _ended_at_last(cli, record):
        assert cli.json("status", run)["pid"] == pid
        assert os.getsid(pid) == pid != os.getsid(0), "a hang-up of our terminal does not reach it"
        _wait_for_evaluations(cli, 3)
        assert cli.json("stop", run)["answer"] == "stopping"
        _gone(cli, run)
    log = (cli.folder / "runs" / run / "launch.log").read_text(encoding="utf-8").splitlines()
    assert json.loads(log[0])["run"] == run
    assert json.loads(log[-1])["reason"] == "stopped"

    done = cli.json("status", run)["evaluations"]
    text = cli("resume", run, "--evals", str(done + 3), "--detach").stdout
    assert f"harness status {run} --watch" in text
    assert f"harness stop {run}" in text
    _gone(cli, run)
    assert cli.json("status", run)["evaluations"] == done + 3


@pytest.mark.slow
def test_a_detached_launch_that_fails_says_why(cli: Cli) -> None:
    cli.environment |= {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "key"}
    # Found out by the detached process: what the sandbox can do is known only there.
    done = cli(*LAUNCH, "--evals", "3", "--model", "scripted", "--detach", code=2)
    wrong, _, action = _three_lines(done.stderr)
    assert "does not isolate" in wrong
    assert "--unsafe" in action
    assert done.stdout == ""
    assert cli.json("runs")["runs"] == [], "nothing was started"


@pytest.mark.slow
@pytest.mark.bubblewrap
def test_a_read_only_run_can_be_looked_at_and_says_so_at_resume(cli: Cli) -> None:
    run = cli.launch(*LAUNCH, "--evals", "3")[-1]["run"]
    folder = str(cli.folder / "runs" / run)

    def read_only(*arguments: str) -> subprocess.CompletedProcess[str]:
        # A mount and not permissions, which root does not have to heed.
        command: list[str | Path] = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", folder, folder]
        return subprocess.run(
            [*command, "--", HARNESS, *arguments],
            cwd=cli.folder, env=cli.environment, capture_output=True, text=True,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip

    for arguments in ((), ("--detach",)):
        refused = read_only("resume", run, "--evals", "+2", *arguments)
        assert refused.returncode == 2
        wrong, _, action = _three_lines(refused.stderr)
        assert "cannot be resumed" in wrong
        assert "cp -r" in action
    for command in (("status", run), ("transcript", run, "agent-1"), ("attempts", run)):
        assert read_only(*command).returncode == 0
