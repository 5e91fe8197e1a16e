"""`harness export` of live, dead, killed and copied runs."""

import csv
import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli

from harness.testing.behaviours import improver
from harness.testing.endpoint import ScriptedEndpoint

OFFLINE = ("launch", "circle_packing", "--sandbox", "process", "--agents", "2")
FORMATS = ("csv", "jsonl", "parquet", "sft", "evotrace")
PATIENCE_S = 120.0


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _export(cli: Cli, run: str, folder: Path) -> dict[str, bytes]:
    for name in FORMATS:
        document = cli.json("export", run, "--format", name, "--to", str(folder / name))
        assert (document["format"], document["path"]) == (name, str(folder / name))
    return _contents(folder)


@pytest.mark.slow
def test_every_format_of_a_run_and_of_its_copy(cli: Cli, tmp_path: Path) -> None:
    run = cli.launch(*OFFLINE, "--evals", "6")[-1]["run"]
    home = cli.folder / "runs" / run
    before = _contents(home)
    copy = tmp_path / "elsewhere" / run
    shutil.copytree(home, copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    exported = _export(cli, run, tmp_path / "first")
    assert _contents(home) == before, "a run is read, nothing more"
    assert _export(cli, str(copy), tmp_path / "second") == exported

    attempts = cli.json("attempts", run)["attempts"]
    rows = _lines(tmp_path / "first" / "jsonl")
    same = ("id", "parents", "references", "status", "score", "agent", "operator", "created_at")
    assert [[row[key] for key in same] for row in rows] == [
        [attempt[key] for key in same] for attempt in attempts
    ]
    with (tmp_path / "first" / "csv").open(encoding="utf-8", newline="") as file:
        scores = [float(row["score"]) for row in csv.DictReader(file) if row["score"]]
    assert scores == [attempt["score"] for attempt in attempts if attempt["score"] is not None]
    assert max(scores) == next(row["score"] for row in rows if row["best"])

    there = str(tmp_path / "first" / "csv")
    taken = cli("export", run, "--format", "csv", "--to", there, code=2)
    assert len(taken.stderr.splitlines()) == 3
    assert "--force to replace it" in taken.stderr
    assert "evotrace" in cli("export", run, "--format", "xml", "--to", "x", code=2).stderr
    assert "--to" in cli("export", run, "--format", "csv", code=2).stderr
    assert "  export " in cli("--help").stdout


@pytest.mark.slow
def test_a_live_run_and_a_killed_one(cli: Cli, tmp_path: Path) -> None:
    launch = cli.start(*OFFLINE, "--evals", "5000", "--json")
    assert launch.stdout is not None
    run = json.loads(launch.stdout.readline())["run"]
    _until(lambda: cli.json("status", run)["evaluations"] >= 4)
    _export(cli, run, tmp_path / "live")
    assert cli.json("status", run)["state"] == "running"
    launch.send_signal(signal.SIGKILL)
    launch.wait(PATIENCE_S)
    _export(cli, run, tmp_path / "killed")
    live, killed = (_lines(tmp_path / name / "jsonl") for name in ("live", "killed"))
    assert 4 < len(live) <= len(killed)
    assert [row["commit"] for row in live] == [row["commit"] for row in killed[: len(live)]]
    programs = _lines(tmp_path / "killed" / "evotrace" / "programs.jsonl")
    assert [program["id"] for program in programs] == [row["id"] for row in killed]
    for program in programs:
        sha = program["solution_sha256"]
        assert (tmp_path / "killed" / "evotrace" / "blobs" / sha[:2] / f"{sha}.txt").is_file()


@pytest.mark.slow
def test_model_steps_of_a_run_that_was_killed_and_resumed(cli: Cli, tmp_path: Path) -> None:
    with ScriptedEndpoint(improver) as endpoint:
        cli.environment |= {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "any"}
        launch = cli.start(
            "launch", "circle_packing", "--agents", "2", "--evals", "6", "--model", "scripted",
            "--sandbox", "process", "--unsafe", "--json",
        )  # fmt: skip
        assert launch.stdout is not None
        run = json.loads(launch.stdout.readline())["run"]
        _until(lambda: len(endpoint.chats) >= 8)
        launch.send_signal(signal.SIGKILL)
        launch.wait(PATIENCE_S)
        cli.launch("resume", run)
        sent = [json.dumps(chat.messages, sort_keys=True) for chat in endpoint.chats]
    counts = cli.json("export", run, "--format", "sft", "--to", "steps.jsonl")["counts"]
    steps = _lines(cli.folder / "steps.jsonl")
    assert counts == {"steps": len(steps), "diffs": 0, "left_out": 0}
    prompts = [json.dumps(step["prompt"], sort_keys=True) for step in steps]
    assert len(set(prompts)) == len(prompts)
    assert set(prompts) <= set(sent), "word for word what the model was sent"
    assert len(set(sent)) - len(prompts) <= 2, "an answer that the kill lost is no step"

    cli("export", run, "--format", "evotrace", "--to", "trace")
    trace = cli.folder / "trace"
    for program in _lines(trace / "programs.jsonl")[1:]:
        sha = program["prompts_sha256"]
        blob = (trace / "blobs" / sha[:2] / f"{sha}.json").read_text("utf-8")
        prompt = json.loads(blob)["llm"]
        led = [step for step in steps if step["attempt"] == program["id"]]
        assert len(prompt["responses"]) == len(led) > 0
        assert prompt["user"].startswith("# Directive")
        assert prompt["messages"] == [*led[-1]["prompt"], *led[-1]["completion"]]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
