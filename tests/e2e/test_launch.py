"""A launch from the task to the report, read back through the command line."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli

PROVIDERS = [
    pytest.param("process", marks=pytest.mark.slow),
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]),
]


@pytest.mark.parametrize("sandbox", PROVIDERS)
def test_a_launch_improves_the_seed_and_can_be_read_back(cli: Cli, sandbox: str) -> None:
    records = cli.launch(
        "launch", "circle_packing", "--agents", "4", "--evals", "16", "--sandbox", sandbox
    )
    launched, done = records[0], records[-1]
    assert launched["type"] == "launch"
    assert launched["sandbox"] == sandbox
    assert done["type"] == "done"
    assert done["schema_version"] == 1
    assert done["reason"] == "evaluations"
    assert done["evaluations"] == 16
    assert done["tokens"] == 0
    run = done["run"]

    attempts = cli.json("attempts", run)["attempts"]
    assert attempts[0]["id"] == "0"
    assert attempts[0]["agent"] == "seed"
    assert attempts[0]["parents"] == []
    judged = [a for a in attempts if a["status"] not in ("duplicate", "cancelled")]
    assert len(judged) == 16
    best = max((a for a in attempts if a["score"] is not None), key=lambda a: a["score"])
    assert done["best"] == {"attempt": best["id"], "score": best["score"]}
    assert best["score"] > attempts[0]["score"]
    assert {a["agent"] for a in attempts} == {"seed", *(f"agent-{n}" for n in range(1, 5))}

    _check_graph(cli.json("graph", run), attempts)
    _check_repository(cli.folder / "runs" / run / "attempts.git", attempts)
    status = cli.json("status", run)
    assert (status["state"], status["evaluations"]) == ("ended", 16)
    assert cli.json("runs")["runs"][0]["run"] == run
    shown = cli.json("show", run, best["id"], "--diff")
    assert shown["verdict"]["score"] == best["score"]
    assert shown["diff"].startswith("diff --git")
    report = cli("report", "latest").stdout
    assert repr(best["score"]) in report
    assert "## Best against the seed" in report
    _check_memory(cli.json("memory", "log", run), attempts)


def _check_graph(graph: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    assert [node["id"] for node in graph["nodes"]] == [a["id"] for a in attempts]
    edges = {(edge["from"], edge["to"], edge["kind"]) for edge in graph["edges"]}
    expected = {(p, a["id"], "parent") for a in attempts for p in a["parents"]}
    expected |= {(r, a["id"], "reference") for a in attempts for r in a["references"]}
    assert edges == expected


def _check_repository(repository: Path, attempts: list[dict[str, Any]]) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "safe.directory=*", "-C", str(repository), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "error" not in git("fsck", "--full", "--strict")
    commits = {a["id"]: a["commit"] for a in attempts}
    for attempt in attempts:
        parents = git("rev-list", "--parents", "-n", "1", attempt["commit"]).split()[1:]
        named = [*attempt["parents"], *attempt["references"]]
        assert parents == [commits[name] for name in named]


def _check_memory(log: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    assert log["schema_version"] == 1
    entries = log["entries"]
    assert {entry["op"] for entry in entries} >= {"write", "recall"}
    written = {entry["attempt"] for entry in entries if entry["op"] == "write"}
    judged = {a["id"] for a in attempts if a["status"] in ("scored", "invalid", "failed")}
    assert judged <= written
    for entry in entries:
        assert set(entry) >= {"at", "op", "agent", "query", "records", "attempt"}


@pytest.mark.slow
def test_one_agent_and_one_seed_give_the_same_run_twice(cli: Cli) -> None:
    sequences: list[list[Any]] = []
    for _ in range(2):
        records = cli.launch(
            "launch", "circle_packing", "--agents", "1", "--evals", "10", "--seed", "7",
            "--memory", "run", "--sandbox", "process",
        )  # fmt: skip
        attempts = cli.json("attempts", records[-1]["run"])["attempts"]
        sequences.append([(a["id"], a["score"], a["status"], a["title"]) for a in attempts])
    assert sequences[0] == sequences[1]


@pytest.mark.slow
def test_a_launch_without_a_budget_prints_the_tasks_own(cli: Cli) -> None:
    task = cli.folder / "tiny"
    cli("task", "new", "tiny")
    text = (task / "task.yaml").read_text(encoding="utf-8")
    fewer = re.sub(r"evaluations: \d+", "evaluations: 4", text)
    assert fewer != text
    (task / "task.yaml").write_text(fewer, encoding="utf-8")
    done = cli("launch", "./tiny", "--agents", "2", "--display", "plain", "--sandbox", "process")
    assert "no budget given; the task's own" in done.stderr
    assert "next:" in done.stderr


@pytest.mark.slow
def test_the_live_display_does_not_fail_off_a_terminal(cli: Cli) -> None:
    done = cli(
        "launch", "circle_packing", "--agents", "2", "--evals", "4", "--display", "live",
        "--sandbox", "process",
    )  # fmt: skip
    assert "best" in done.stdout
    assert "harness resume" in done.stdout


@pytest.mark.slow
def test_a_copied_run_can_be_read_and_resumed(cli: Cli, tmp_path: Path) -> None:
    import shutil

    done = cli.launch(
        "launch", "circle_packing", "--agents", "1", "--evals", "3", "--sandbox", "process"
    )[-1]
    copy = tmp_path / "elsewhere" / done["run"]
    shutil.copytree(cli.folder / "runs" / done["run"], copy)
    shutil.rmtree(cli.folder / "runs")
    assert cli.json("status", str(copy))["evaluations"] == 3
    for path in (copy, *copy.rglob("*")):
        if path.is_dir():
            path.chmod(0o555)
    assert cli.json("attempts", str(copy))["run"] == done["run"]
    for path in (copy, *copy.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    resumed = cli.launch("resume", str(copy), "--evals", "+2")[-1]
    assert resumed["evaluations"] == 5


def test_launch_json_writes_nothing_but_records(cli: Cli) -> None:
    done = cli("launch", "circle_packing", "--agents", "1", "--evals", "2", "--json")
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == [
        "launch", "attempt", "attempt", "done",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.docker
def test_a_daemon_that_cannot_mount_our_folders(cli: Cli) -> None:
    (cli.folder / "harness.yaml").write_text(
        "sandbox: {provider: docker, transport: tar}\n", encoding="utf-8"
    )
    records = cli.launch("launch", "circle_packing", "--agents", "2", "--evals", "6")
    assert records[-1]["evaluations"] == 6
    scored = [r for r in records if r.get("status") == "scored"]
    assert len({r["score"] for r in scored}) > 1
