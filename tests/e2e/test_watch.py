"""`harness status`, once and followed."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from itertools import pairwise
from typing import Any

import pytest
from tests.e2e.conftest import HARNESS, TIMEOUT_S, Cli

LAUNCH = ("launch", "circle_packing", "--agents", "2", "--sandbox", "process")


@pytest.mark.slow
def test_the_document_says_what_is_left_and_how_the_run_went(cli: Cli) -> None:
    done = cli.launch(*LAUNCH, "--evals", "6", "--hours", "1")[-1]
    status = cli.json("status")
    assert status["budget_left"]["evaluations"] == 0
    assert 0 < status["budget_left"]["hours"] < 1
    assert status["budget_left"]["usd"] is None
    assert status["rate_per_hour"] > 0
    attempts = {a["id"]: a for a in cli.json("attempts")["attempts"]}
    curve = status["curve"]
    assert curve[0]["attempt"] == "0"
    assert [point["score"] for point in curve] == sorted({point["score"] for point in curve})
    assert all(attempts[point["attempt"]]["score"] == point["score"] for point in curve)
    assert {"attempt": curve[-1]["attempt"], "score": curve[-1]["score"]} == done["best"]
    for agent in status["agents"]:
        mine = [a for a in attempts.values() if a["agent"] == agent["agent"]]
        assert agent["attempts"] == len(mine)
        scores = [a["score"] for a in mine if a["score"] is not None]
        assert agent["best"] == max(scores, default=None)
        assert (agent["tokens"], agent["cost_usd"]) == (0, 0.0)
        assert {"role", "focus", "model", "directive", "activity", "since"} <= set(agent)
    text = cli("status").stdout
    assert "curve" in text
    assert "left: 0 evaluations" in text


def _without_clocks(document: dict[str, Any]) -> dict[str, Any]:
    left = document["budget_left"] | {"hours": None}
    return document | {"budget_left": left, "wall_s": 0, "rate_per_hour": 0}


@pytest.mark.slow
def test_watch_prints_a_line_for_each_change_and_ends_with_the_run(cli: Cli) -> None:
    launch = cli.start(*LAUNCH, "--evals", "16", "--json")
    assert launch.stdout is not None
    run = json.loads(launch.stdout.readline())["run"]
    lines = cli("status", run, "--watch", "--json").stdout.splitlines()
    launch.communicate(timeout=TIMEOUT_S)
    documents = [json.loads(line) for line in lines]
    assert documents[-1]["state"] == "ended"
    assert documents[-1]["evaluations"] == 16
    assert all(d["state"] == "running" for d in documents[:-1])
    counts = [d["evaluations"] for d in documents]
    assert counts == sorted(counts)
    running = [_without_clocks(d) for d in documents[:-1]]
    assert all(a != b for a, b in pairwise(running))
    # Of a run that is over, one look is the whole story.
    assert len(cli("status", run, "--watch", "--json").stdout.splitlines()) == 1
    assert cli("status", run, "--watch").stdout.count("evaluations 16 of") == 1


def _on_terminal(cli: Cli, columns: int, *arguments: str) -> str:
    """What a command writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = cli.environment | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        [HARNESS, *arguments],
        cwd=cli.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert process.wait(TIMEOUT_S) == 0, written.decode()
    return written.decode()


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 160])
def test_live_display_and_watch_fit_the_terminal(cli: Cli, columns: int) -> None:
    shown = _on_terminal(cli, columns, *LAUNCH, "--evals", "12", "--display", "live")
    *frames, _summary = _frames(shown)
    assert len(frames) > 3
    assert all(len(line) <= columns for frame in frames for line in frame)
    headings = [line for frame in frames for line in frame if line.startswith("agent ")]
    assert headings
    assert any("directive" in line for line in headings) == (columns > 100)
    # A line that wraps would be one more.
    whole = [frame for frame in frames if any("agent-2" in line for line in frame)]
    assert whole
    for frame in whole:
        lines = [line for line in frame if line.strip() and not line.startswith("ending:")]
        assert len(lines) <= 7, frame

    launch = cli.start("resume", "--evals", "+30", "--json")
    assert launch.stdout is not None
    launch.stdout.readline()
    *frames, last = _frames(_on_terminal(cli, columns, "status", "--watch"))
    launch.communicate(timeout=TIMEOUT_S)
    assert all(len(line) <= columns for frame in frames for line in frame)
    assert "ended (evaluations)" in "\n".join(last)


def _frames(written: str) -> list[list[str]]:
    """The frames that a display drew one over the other, as lines without escapes."""
    frames = re.split(r"(?:\r?\x1b\[2K(?:\x1b\[1A)?)+", written)
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame) for frame in frames]
    return [frame.replace("\r", "").split("\n") for frame in plain if frame.strip()]
