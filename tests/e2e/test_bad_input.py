"""Mistakes: a clear message, the right exit code, nothing lost."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from tests.e2e.conftest import Cli

PROCESS = ("--sandbox", "process")


def _task(cli: Cli, name: str = "mine") -> Path:
    cli("task", "new", name)
    return cli.folder / name


def _three_lines(stderr: str) -> list[str]:
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert "Traceback" not in stderr
    assert lines[-3].startswith("error: ")
    assert lines[-2].strip().startswith("expected:")
    assert lines[-1].strip().startswith("to do:")
    return lines


def test_a_typo_in_a_key_names_file_key_and_the_nearest(cli: Cli) -> None:
    task = _task(cli)
    path = task / "task.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("direction:", "directon:"))
    said = cli("launch", "./mine", code=2).stderr
    lines = _three_lines(said)
    assert "task.yaml" in lines[-3]
    assert "'directon'" in lines[-3]
    assert "'direction'" in lines[-1]
    assert not (cli.folder / "runs").exists()


def test_a_missing_seed(cli: Cli) -> None:
    task = _task(cli)
    shutil.rmtree(task / "seed")
    assert "seed" in _three_lines(cli("launch", "./mine", code=2).stderr)[-3]


def test_an_unknown_task_and_an_unknown_flag(cli: Cli) -> None:
    assert "circle_packing" in _three_lines(cli("launch", "circle_pakking", code=2).stderr)[-1]
    assert "--agnets" in cli("launch", "circle_packing", "--agnets", "3", code=2).stderr


def test_a_judge_that_raises_on_the_seed_ends_the_launch(cli: Cli) -> None:
    task = _task(cli)
    judge = next((task / "evaluator").glob("*.py"))
    judge.write_text(
        "def judge(outputs, private, seed):\n    raise RuntimeError('no calibration data')\n",
        encoding="utf-8",
    )
    lines = _three_lines(cli("launch", "./mine", *PROCESS, code=2).stderr)
    assert "no calibration data" in lines[-3]
    assert "harness task check" in lines[-1]
    document = cli.json("eval", "./mine", "mine/seed", *PROCESS, code=2)
    assert document["status"] == "evaluator_error"
    assert document["score"] is None


def test_a_run_that_does_not_exist(cli: Cli) -> None:
    for command in ("status", "attempts", "graph", "report", "resume", "stop"):
        lines = _three_lines(cli(command, "nothing-here", code=2).stderr)
        assert "'nothing-here'" in lines[-3]
    assert "harness runs" in _three_lines(cli("show", "nope", "1", code=2).stderr)[-1]


def test_a_seed_without_a_score_ends_the_launch(cli: Cli) -> None:
    task = _task(cli)
    program = next((task / "seed").glob("*.py"))
    program.write_text("raise SystemExit(1)\n", encoding="utf-8")
    lines = _three_lines(cli("launch", "./mine", *PROCESS, code=2).stderr)
    assert "has no score (failed)" in lines[-3]


@pytest.mark.slow
def test_configuration_mistakes(cli: Cli) -> None:
    (cli.folder / "harness.yaml").write_text("agnets: 3\n", encoding="utf-8")
    lines = _three_lines(cli("launch", "circle_packing", code=2).stderr)
    assert "harness.yaml" in lines[-3]
    assert "'agents'" in lines[-1]
    (cli.folder / "harness.yaml").write_text("agents: many\n", encoding="utf-8")
    assert "'agents'" in _three_lines(cli("launch", "circle_packing", code=2).stderr)[-3]
    (cli.folder / "harness.yaml").unlink()
    lines = _three_lines(cli("launch", "circle_packing", "--search", "best", code=2).stderr)
    assert "progressive" in lines[-2]
    lines = _three_lines(cli("launch", "circle_packing", "--sandbox", "jail", code=2).stderr)
    assert "'jail'" in lines[-3]
    assert "'budget.hours'" in cli("launch", "circle_packing", "--hours", "inf", code=2).stderr
    lines = _three_lines(cli("launch", "circle_packing", "--budget-usd", "3", code=2).stderr)
    assert "never ends" in lines[-3]
    cli.environment["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
    lines = _three_lines(
        cli("launch", "circle_packing", "--model", "mystery", "--budget-usd", "1", code=2).stderr
    )
    assert "price" in lines[-3]
    assert not (cli.folder / "runs").exists() or not list((cli.folder / "runs").iterdir())


FORKS_500 = """
import os, time
for _ in range(500):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
time.sleep(60)  # it may have made them between two looks at it
"""
BAD_CANDIDATES = {
    "exits_1": ("import sys\nprint('no luck', file=sys.stderr)\nsys.exit(1)\n", {"failed"}),
    "prints_100_mb": ("for _ in range(100):\n    print('x' * 1_000_000)\n", {"output_limit"}),
    "never_ends": ("while True:\n    pass\n", {"timeout"}),
    "nan": (None, {"invalid"}),
    "forks_500": (FORKS_500, {"pids", "failed"}),
    "link": (None, {"invalid"}),
}


@pytest.mark.parametrize("name", BAD_CANDIDATES)
def test_bad_candidates_get_a_verdict_and_exit_code_3(cli: Cli, name: str) -> None:
    task = _task(cli)
    if name == "never_ends":
        path = task / "task.yaml"
        text = path.read_text(encoding="utf-8")
        hurried = text.replace("  timeout_s: 20 ", "  timeout_s: 1 ", 1)
        assert hurried != text
        path.write_text(hurried, encoding="utf-8")
    program = next((task / "seed").glob("*.py"))
    output = _output_name(cli)
    source, statuses = BAD_CANDIDATES[name]
    if name == "nan":
        source = f"open({output!r}, 'w').write('NaN')\n"
    if name == "link":
        source = f"import os\nos.symlink('/etc/passwd', {output!r})\n"
    assert source is not None
    candidate = cli.folder / "candidate"
    candidate.mkdir()
    (candidate / program.name).write_text(source, encoding="utf-8")
    document = cli.json("eval", "./mine", str(candidate), *PROCESS, code=3)
    assert document["status"] in statuses, document
    assert document["score"] is None
    assert document["feedback"]
    assert "root:" not in json.dumps(document)


def _output_name(cli: Cli) -> str:
    from harness.tasks.evaluation import AnswerSpec
    from harness.tasks.loader import load_task

    spec = load_task(cli.folder / "mine").file.evaluator
    assert isinstance(spec, AnswerSpec)
    return spec.outputs[0]


@pytest.mark.slow
def test_a_damaged_store_is_said_and_not_touched(cli: Cli) -> None:
    run = cli.launch("launch", "circle_packing", "--agents", "1", "--evals", "2", *PROCESS)[-1]
    database = cli.folder / "runs" / run["run"] / "run.db"
    config = database.with_name("config.json")
    whole = config.read_bytes()
    config.write_bytes(whole[:100])
    assert "config.json cannot be read" in cli("status", run["run"], code=1).stderr
    config.write_bytes(whole)
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA user_version = 99")
    said = cli("status", run["run"], code=1).stderr
    assert "schema 99" in said
    assert "Traceback" not in said


def test_a_changed_task_is_refused_at_resume(cli: Cli) -> None:
    run = cli.launch("launch", "circle_packing", "--agents", "1", "--evals", "2", *PROCESS)[-1]
    copied = cli.folder / "runs" / run["run"] / "task" / "task.yaml"
    copied.write_text(copied.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    lines = _three_lines(cli("resume", run["run"], "--evals", "+1", code=2).stderr)
    assert "was changed" in lines[-3]
