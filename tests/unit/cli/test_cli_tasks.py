"""`harness task` and `harness eval` as a user types them."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import run
from harness.tasks.loader import library
from harness.testing.evaluator import ANSWER, write_task

SANDBOX = ["--sandbox", "process"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_task(tmp_path / "task").folder


def submission(folder: Path, source: str) -> str:
    place = folder.parent / "submission"
    place.mkdir()
    (place / "solve.py").write_text(source, encoding="utf-8")
    return str(place)


def evaluate(folder: Path, source: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    code = run(["eval", str(folder), submission(folder, source), "--json", *SANDBOX])
    return code, json.loads(capsys.readouterr().out)


def test_eval_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = evaluate(folder, ANSWER % 4, capsys)
    assert code == 0
    assert list(document) == [
        "schema_version", "task", "status", "score", "metrics", "feedback", "stages", "duration_s",
    ]  # fmt: skip
    assert (document["task"], document["status"], document["score"]) == ("contract", "scored", 4.0)
    assert [stage["name"] for stage in document["stages"]] == ["produce", "judge"]


@pytest.mark.parametrize(
    ("source", "status"),
    [("exit(1)", "failed"), (ANSWER % "float('nan')", "invalid")],
)
def test_eval_without_a_score_is_3(
    folder: Path, capsys: pytest.CaptureFixture[str], source: str, status: str
) -> None:
    code, document = evaluate(folder, source, capsys)
    assert (code, document["status"], document["score"]) == (3, status, None)


def test_eval_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", str(folder), str(folder / "seed"), *SANDBOX]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("contract: scored 1\n")
    assert "| judged" in printed.out


def test_eval_with_a_broken_judge_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = "def judge(outputs, private, seed):\n    return 1 / 0\n"
    task = write_task(tmp_path / "task", judge=judge)
    assert run(["eval", str(task.folder), str(task.seed), "--json", *SANDBOX]) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["status"] == "evaluator_error"
    assert "the judge of contract failed: ZeroDivisionError" in printed.err
    assert "Traceback" not in printed.err


def test_a_link_cannot_be_submitted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = submission(folder, ANSWER % 1)
    Path(place, "secrets").symlink_to("/etc/passwd")
    assert run(["eval", str(folder), place, "--json", *SANDBOX]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "invalid"
    assert "'secrets'" in document["feedback"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "no_such_task", "."],
        ["eval", "FOLDER", "no/such/folder"],
        ["eval", "FOLDER", ".", "--sandbox", "castle"],
        ["eval", "FOLDER"],
        ["task", "check", "no/such/folder"],
        ["task", "new", "Not A Name"],
        ["task", "new", "fine", "--to", "no/such/folder"],
    ],
)
def test_mistakes_are_2_and_told(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    named = [str(folder) if argument == "FOLDER" else argument for argument in arguments]
    assert run(named) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "to do:" in printed.err
    assert "Traceback" not in printed.err


def test_a_new_task_passes_its_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["task", "new", "curve", "--to", str(tmp_path)]) == 0
    assert str(tmp_path / "curve") in capsys.readouterr().out
    assert run(["task", "check", str(tmp_path / "curve"), "--json", *SANDBOX]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["problems"], report["warnings"]) == (True, [], [])
    assert report["seed"]["score"] == pytest.approx(0.564, abs=0.001)
    assert [(case["kind"], case["status"]) for case in report["cases"]] == [
        ("cheats", "invalid"),
        ("honest", "scored"),
    ]
    assert "seed/solve.py" in report["visible"]
    assert "knowledge/notes.md" in report["visible"]
    assert set(report["hidden"]) == {"evaluator/judge.py", "private/points.json"}


def test_check_finds_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = json.loads((folder / "task.yaml").read_text(encoding="utf-8"))
    spec["baseline"] = {"value": 3.0, "source": "x"}
    spec["best_known"] = {"value": 0.5, "source": "y"}
    (folder / "task.yaml").write_text(json.dumps(spec), encoding="utf-8")
    (folder / "seed" / "copy.txt").write_bytes((folder / "private" / "truth.txt").read_bytes())
    for kind, source in (("cheats", ANSWER % 9), ("honest", "exit(1)")):
        (folder / kind / "one").mkdir(parents=True)
        (folder / kind / "one" / "solve.py").write_text(source, encoding="utf-8")
    assert run(["task", "check", str(folder), *SANDBOX]) == 2
    printed = capsys.readouterr().out
    for problem in (
        "baseline 3 is better than best_known 0.5",
        "cheats/one must not score, and scores 9.0",
        "honest/one must score, and is failed",
        "private/truth.txt is given to agents, as copy.txt",
        "warning: the seed is better than best_known 0.5",
        "not fit to launch",
    ):
        assert problem in printed


def test_check_of_a_seed_that_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "seed" / "solve.py").write_text("raise SystemExit('no luck')", encoding="utf-8")
    assert run(["task", "check", str(folder), "--json", *SANDBOX]) == 2
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    assert "the seed does not score, it is failed" in report["problems"][0]
    assert "no luck" in report["problems"][0]


def test_list_names_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["task", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [task["name"] for task in document["tasks"]] == sorted(library())
    assert run(["task", "list"]) == 0
    assert all(name in capsys.readouterr().out for name in list(library())[:1])
