"""From nothing to a table: demo, run (killed and resumed), report; and what agents cannot read."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli

from harness.run.folder import RunFolder, live_process
from harness.run.views import read_run
from harness.tasks.mlebench.demo import DEMOS, make_demos
from harness.tasks.mlebench.layout import find_competition, read_leaderboard
from harness.testing.behaviours import BEHAVIOURS
from harness.testing.endpoint import ScriptedEndpoint

CANARY = "canary-5f1c0b7e-answers"
SMALL = ("--agents", "1", "--slots", "1", "--agent", "offline", "--display", "none")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstrations, made once; each test works on a copy."""
    folder = tmp_path_factory.mktemp("mlebench")
    make_demos(folder)
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def _only(folder: Path) -> Path:
    (run,) = [each for each in folder.iterdir() if (each / "run.db").is_file()]
    return run


def _report(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "grading_report.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", [demo.id for demo in DEMOS])
def test_the_seed_alone_is_never_in_the_top_decile(cli: Cli, data: Path, name: str) -> None:
    cli("launch", f"mlebench:{name}", "--data-dir", str(data), "--evals", "1", *SMALL)
    run = _only(cli.folder / "runs")
    report = _report(run)
    assert report["valid_submission"]
    assert report["marks"] == []
    board = read_leaderboard(find_competition(name, data).leaderboard)
    assert board is not None
    decile = board[len(board) // 10 - 1]
    sign = 1 if report["is_lower_better"] else -1
    assert sign * report["score"] > sign * decile
    assert sign * report["validation_score"] > sign * decile


def test_offline_reaches_a_medal_by_search(cli: Cli, data: Path) -> None:
    name = "demo-breast-cancer"
    cli(
        "launch", f"mlebench:{name}", "--data-dir", str(data), "--evals", "30", "--seed", "3",
        "--memory", "run", "--sandbox", "process", *SMALL,
    )  # fmt: skip
    run = _only(cli.folder / "runs")
    report = _report(run)
    attempts = read_run(RunFolder(run)).attempts
    seed, best = attempts[0], next(a for a in attempts if str(a.id) == report["attempt"])
    assert seed.score is not None
    assert best.score is not None
    assert best.score < seed.score, "the seed was not improved"
    assert report["any_medal"], report
    assert (report["validation_score"], report["marks"]) == (best.score, [])
    told = cli("report", str(run)).stdout
    assert f"hidden validation {best.score:g}, held-out test {report['score']}" in told


def test_a_model_is_asked_in_the_words_of_competitions(cli: Cli, data: Path) -> None:
    with ScriptedEndpoint(BEHAVIOURS["pipeline"]) as endpoint:
        cli.environment |= {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "any"}
        cli(
            "launch", "mlebench:demo-diabetes", "--data-dir", str(data), "--evals", "2",
            "--agent", "pipeline", "--model", "scripted", "--sandbox", "process", "--unsafe",
            "--agents", "1", "--slots", "1", "--display", "none",
        )  # fmt: skip
        asked = [str(m["content"]) for chat in endpoint.chats for m in chat.messages]
    for words in (
        "### ./tabular.md",
        "leaks: a scaler, encoder or selection fitted before the split",
        "Reported: NUMBER, or none",
        "own validation",
    ):
        assert any(words in each for each in asked), words
    assert _report(_only(cli.folder / "runs"))["valid_submission"]


def test_one_submission_is_graded_and_no_agent_could_read_the_answers(
    cli: Cli, data: Path, tmp_path: Path
) -> None:
    name = "demo-breast-cancer"
    (data / name / "prepared" / "private" / "canary.txt").write_text(CANARY)
    cli(
        "launch", f"mlebench:{name}", "--data-dir", str(data), "--evals", "6", "--seed", "3",
        "--agents", "2", "--slots", "2", "--agent", "offline", "--display", "none",
    )  # fmt: skip
    run = _only(cli.folder / "runs")
    report = _report(run)
    assert report["valid_submission"]
    steps = [json.loads(line) for line in (run / "mlebench_audit.jsonl").read_text().splitlines()]
    assert [each["step"] for each in steps] == ["produced", "grading", "graded"]
    last = max(event.at for event in read_run(RunFolder(run), events=True).events)
    assert last <= steps[-2]["at"], "something of the run came after grading"
    told = cli("report", str(run)).stdout
    assert "graded once, after the budget, by a separate process" in told.replace("\n", " ")
    # Neither the run, its memory, nor what its sandboxes were given hold anything of private/.
    answers = (data / name / "prepared" / "private" / "test.csv").read_bytes()
    places = [run, tmp_path / "memory", *(data / name / "harness").glob("*/search")]
    for path in (file for place in places for file in place.rglob("*") if file.is_file()):
        content = path.read_bytes()
        assert CANARY.encode() not in content, path
        assert answers not in content, path


def test_a_candidate_that_looks_for_answers_finds_none(cli: Cli, data: Path) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    name = "demo-diabetes"
    (data / name / "prepared" / "private" / "canary.txt").write_text(CANARY)
    cli("launch", f"mlebench:{name}", "--data-dir", str(data), "--evals", "1", *SMALL)
    (task,) = (data / name / "harness").glob("hidden-*/task")
    (spy := cli.folder / "spy").mkdir()
    (spy / "solve.py").write_text(
        "import os\n"
        "found = [os.path.join(a, n) for a, _, c in os.walk('/') for n in c\n"
        "         if n in ('canary.txt', 'answers.csv', 'leaderboard.csv')\n"
        f"         or a.startswith({str(data)!r})]\n"
        "raise SystemExit(f'found {len(found)} {found[:3]}')\n"
    )
    verdict = cli.json("eval", str(task), str(spy), "--sandbox", "bubblewrap", code=3)
    assert "found 0 []" in verdict["feedback"], verdict


def test_a_split_is_run_killed_resumed_and_reported(cli: Cli, data: Path) -> None:
    group = cli.folder / "group"
    command = (
        "mlebench", "run", "--split", "demo", "--seeds", "2", "--parallel", "2",
        "--data-dir", str(data), "--to", str(group), "--evals", "3", "--agents", "1",
        "--slots", "1", "--agent", "offline",
    )  # fmt: skip
    shutil.rmtree(data / "demo-digits" / "prepared" / "private")
    process = cli.start(*command)
    killed = None
    while killed is None and process.poll() is None:
        for database in group.glob("work/demo-diabetes/seed-1/[!.]*/run.db"):
            folder = RunFolder(database.parent)
            pid = live_process(folder)
            if pid is not None and not (folder.path / "grading_report.json").exists():
                os.kill(pid, signal.SIGKILL)
                killed = folder.path
        time.sleep(0.05)
    out, _ = process.communicate()
    assert killed is not None
    assert process.returncode == 1
    assert "skipped demo-digits" in out
    assert "failed demo-diabetes, seed 1" in out
    before = {path: path.read_bytes() for path in group.glob("work/*/*/*/grading_report.json")}
    cli(*command)
    assert _report(killed)["valid_submission"]
    assert {path: path.read_bytes() for path in before} == before, "graded twice"
    content = cli.json("mlebench", "report", str(group))
    assert content["seeds"] == [0, 1]
    assert all(len(c["validation_scores"]) == 2 for c in content["competitions"])
    assert content["valid"] == {"mean": 100.0, "sem": 0.0}
    assert [(c["id"], c["runs"]) for c in content["competitions"]] == [
        ("demo-breast-cancer", 2),
        ("demo-diabetes", 2),
    ]
    for seed in (0, 1):
        lines = (group / f"submission-seed-{seed}.jsonl").read_text().splitlines()
        assert len(lines) == 2
        assert all(Path(json.loads(line)["submission_path"]).is_file() for line in lines)
        metadata = json.loads((group / "runs" / f"seed-{seed}_group" / "metadata.json").read_text())
        assert set(metadata) == {"run_group", "created_at", "runs"}
    assert "Any medal in %" in cli("mlebench", "report", str(group)).stdout


def test_without_labels_launch_stops_and_self_reported_scores_are_marked(
    cli: Cli, data: Path
) -> None:
    name = "demo-diabetes"
    public = data / name / "prepared" / "public"
    (public / "train.csv").rename(public / "measurements.csv")
    launch = ("launch", f"mlebench:{name}", "--data-dir", str(data), "--evals", "1", *SMALL)
    refused = cli(*launch, code=2).stderr
    assert "no hidden validation split can be made" in refused
    assert "--allow-self-reported" in refused
    cli(*launch, "--allow-self-reported")
    run = _only(cli.folder / "runs")
    (attempt,) = read_run(RunFolder(run)).attempts
    assert attempt.verdict is not None
    assert attempt.verdict.metrics == {"self_reported": 1.0}
    assert _report(run)["fitness"] == "self_reported"
    assert "self_reported" in cli("report", str(run)).stdout


def test_bad_input(cli: Cli, data: Path) -> None:
    assert (
        "no config.yaml"
        in cli("mlebench", "check", "nothing", "--data-dir", str(data), code=2).stderr
    )
    assert "ready" in cli("mlebench", "check", "demo-digits", "--data-dir", str(data)).stdout
    assert "mean nothing" in cli("launch", "circle_packing", "--gpus", "1", code=2).stderr
    listed = cli.json("mlebench", "list", "--split", "lite")
    assert len(listed["competitions"]) == 22
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (data / "demo-digits" / "prepared" / "public" / "train.csv").write_text(pointer)
    told = cli("mlebench", "check", "demo-digits", "--data-dir", str(data), code=2).stdout
    assert "git-LFS pointer" in told
