"""SIGKILL of the launcher between verdicts and heartbeats: each firing is there, once."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import HARNESS

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
EVALUATIONS = 40
RULES = """
heartbeats:
- {name: each, trigger: interval, every: 1, prompt: each}
- {name: third, trigger: interval, every: 3, prompt: third}
- {name: all, trigger: interval, every: 4, scope: team, prompt: all}
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    log = (folder / "log.txt").open("ab")
    return subprocess.Popen(
        [HARNESS, *arguments, "--display", "plain"],
        cwd=folder,
        env={**os.environ, "HARNESS_MEMORY": str(folder / "memory")},
        stdout=log,
        stderr=log,
    )


def verdicts(folder: Path) -> int:
    """Judged attempts so far."""
    try:
        database = next((folder / "runs").glob("*/run.db"))
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as db:
            query = "SELECT COUNT(*) FROM attempts WHERE verdict IS NOT NULL"
            return int(db.execute(query).fetchone()[0])
    except (StopIteration, sqlite3.OperationalError):
        return 0


def kill_after(folder: Path, process: "subprocess.Popen[bytes]", more: int, rng: Any) -> None:
    """SIGKILL a moment after so many further verdicts."""
    deadline, wanted = time.monotonic() + PATIENCE_S, verdicts(folder) + more
    while verdicts(folder) < wanted and process.poll() is None:
        assert time.monotonic() < deadline, (folder / "log.txt").read_text(encoding="utf-8")
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.02))
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_every_verdict_has_its_heartbeats_once_after_any_kill(tmp_path: Path) -> None:
    rng = random.Random(5)
    (tmp_path / "harness.yaml").write_text(RULES, encoding="utf-8")
    launch = (
        "launch", "circle_packing", "--agents", "3", "--sandbox", "process", "--slots", "3",
        "--evals", str(EVALUATIONS),
    )  # fmt: skip
    process = start(tmp_path, *launch)
    for _ in range(5):
        kill_after(tmp_path, process, rng.randint(2, 6), rng)
        process = start(tmp_path, "resume", "latest")
    assert process.wait(timeout=PATIENCE_S) == 0, (tmp_path / "log.txt").read_text("utf-8")

    def read(*arguments: str) -> Any:
        done = subprocess.run(
            [HARNESS, *arguments, "latest", "--json"],
            cwd=tmp_path, capture_output=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    attempts = [a for a in read("attempts")["attempts"] if a["evaluated_at"] and a["id"] != "0"]
    counted = [a for a in attempts if a["status"] in ("scored", "invalid", "failed", "timeout")]
    assert len(counted) == EVALUATIONS - 1
    firings = read("heartbeat", "log")["firings"]

    def fired(rule: str, agent: str | None) -> Sequence[int]:
        return [
            each["evaluations"]
            for each in firings
            if each["rule"] == rule and each["agent"] == agent
        ]

    for agent in ("agent-1", "agent-2", "agent-3"):
        own = sum(attempt["agent"] == agent for attempt in counted)
        assert fired("each", agent) == list(range(1, own + 1))
        assert fired("third", agent) == list(range(3, own + 1, 3))
    assert fired("all", None) == list(range(4, EVALUATIONS, 4))
    everyone = ["agent-1", "agent-2", "agent-3"]
    for each in firings:
        told = [message["agent"] for message in each["told"]]
        assert told == (everyone if each["rule"] == "all" else [each["agent"]])
