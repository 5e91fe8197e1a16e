"""Tasks of every kind, stages, hidden scores and kept verdicts, through the command line."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli
from tests.e2e.reading import query

from harness.testing.evaluator import write_task
from harness.testing.one_phase import write_one_phase_task
from harness.testing.repository import write_repository_task

JUDGE = """
import json
def judge(outputs, private, seed):
    value = json.loads((outputs / "answer.json").read_text())["value"]
    return {"score": -(value - 7.3) ** 2, "metrics": {"value": value}, "feedback": f"got {value}"}
def holdout(outputs, private, seed):
    value = json.loads((outputs / "answer.json").read_text())["value"]
    return {"score": -(value - 7.1) ** 2}
"""
SEED = "import json\nVALUE = 1.5\njson.dump({'value': VALUE}, open('answer.json', 'w'))\n"


def write_hidden_task(folder: Path, **hidden: Any) -> Path:
    """A task whose score and hold-out differ; only the harness ever sees the exact ones."""
    spec = {"step": 0.5, "holdout": {"judge": "judge.py:holdout"}, "champions": 2, **hidden}
    write_task(folder, judge=JUDGE, hidden=spec)
    (folder / "seed" / "solve.py").write_text(SEED, encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_repository_is_scored_and_improved(cli: Cli) -> None:
    tests = (
        "from harness_repository import RepositoryTest\n"
        "class T(RepositoryTest):\n"
        "    def test_size(self):\n"
        "        done = self.repo.run(['python', 'solve.py'])\n"
        "        self.metric('value', float(done.text))\n"
    )
    folder = cli.folder / "repository"
    write_repository_task(folder, tests=tests, score="value")
    (folder / "seed" / "solve.py").write_text("VALUE = 1.5\nprint(VALUE)\n", encoding="utf-8")
    scored = cli.json("eval", str(folder), str(folder / "seed"))
    assert (scored["status"], scored["score"]) == ("scored", 1.5)
    assert [stage["name"] for stage in scored["stages"]] == [
        "tests",
        "test test_sorter.T.test_size",
    ]
    done = cli.launch("launch", str(folder), "--agents", "1", "--evals", "8")[-1]
    assert done["evaluations"] == 8
    assert done["best"]["score"] > 1.5


def test_a_one_phase_task_is_scored_and_marked(cli: Cli) -> None:
    folder = cli.folder / "one"
    write_one_phase_task(folder)
    text = "VALUE = 1.5\ndef answer():\n    return VALUE\n"
    (folder / "seed" / "solve.py").write_text(text, encoding="utf-8")
    assert "scores can be forged" in cli("task", "check", str(folder)).stdout
    done = cli.launch("launch", str(folder), "--agents", "1", "--evals", "6")[-1]
    assert done["best"]["score"] > 1.5
    shown = cli.json("show", "latest", done["best"]["attempt"])
    assert "in_process" in json.dumps(shown)


@pytest.mark.slow
def test_hidden_scores_are_coarse_everywhere(cli: Cli) -> None:
    folder = write_hidden_task(cli.folder / "hidden")
    done = cli.launch("launch", str(folder), "--agents", "2", "--evals", "14")[-1]
    run = Path(cli.json("status", "latest")["path"])
    attempts = cli.json("attempts", "latest")["attempts"]
    assert all(each["score"] * 2 == round(each["score"] * 2) for each in attempts if each["score"])
    assert all(each["metrics"] == {} for each in attempts)
    report = cli("report", "latest").stdout
    held = query(run, "SELECT attempt, data FROM events WHERE kind = 'holdout'")
    assert len(held) == 2
    assert done["best"]["attempt"] in {row["attempt"] for row in held}
    for row in held:
        exact = json.loads(row["data"])["verdict"]["score"]
        assert f"| {row['attempt']} |" in report
        assert repr(exact) in report
        # Nowhere but in the journal: not in what agents read, nor in what the memory keeps.
        for path in (*run.rglob("*.jsonl"), Path(cli.environment["HARNESS_MEMORY"]) / "memory.db"):
            if path.is_file():
                assert repr(exact).encode() not in path.read_bytes()
    # A resume does not score them again, and goes on.
    cli.launch("resume", "latest", "--evals", "+2")
    again = query(run, "SELECT attempt FROM events WHERE kind = 'holdout'")
    assert len({row["attempt"] for row in again}) == len(again)


def test_a_quota_ends_an_agent(cli: Cli) -> None:
    folder = write_hidden_task(cli.folder / "hidden", per_agent=3)
    done = cli.launch("launch", str(folder), "--agents", "2", "--evals", "50")[-1]
    assert (done["reason"], done["evaluations"]) == ("quota", 7)


@pytest.mark.bubblewrap
@pytest.mark.slow
def test_a_kept_verdict_is_given_again(cli: Cli) -> None:
    folder = cli.folder / "task"
    write_task(folder, judge=JUDGE)
    (folder / "seed" / "solve.py").write_text(SEED, encoding="utf-8")
    cli.environment["HARNESS_EVALUATORS__CACHE"] = str(cli.folder / "kept")
    arguments = ("eval", str(folder), str(folder / "seed"), "--sandbox", "bubblewrap")
    first, again = cli.json(*arguments), cli.json(*arguments)
    names = [[stage["name"] for stage in each["stages"]] for each in (first, again)]
    assert names == [["produce", "judge"], ["cached", "produce", "judge"]]
    assert {**first, "stages": 0, "duration_s": 0} == {**again, "stages": 0, "duration_s": 0}
    # Damaged or of another evaluator: evaluated anew.
    (kept,) = (cli.folder / "kept").rglob("*.json")
    kept.write_text(kept.read_text("utf-8")[:-3], encoding="utf-8")
    assert len(cli.json(*arguments)["stages"]) == 2
    (folder / "evaluator" / "judge.py").write_text(JUDGE.replace("7.3", "8"), encoding="utf-8")
    changed = cli.json(*arguments)
    assert len(changed["stages"]) == 2
    assert changed["score"] != first["score"]
    # In a run a kept verdict counts like any other.
    flags = ("--agents", "1", "--evals", "5", "--sandbox", "bubblewrap", "--memory", "run")
    for _ in range(2):
        assert cli.launch("launch", str(folder), *flags)[-1]["evaluations"] == 5
    runs = sorted((cli.folder / "runs").iterdir())
    with sqlite3.connect(runs[-1] / "run.db") as db:
        verdicts = [row[0] for row in db.execute("SELECT verdict FROM attempts")]
    assert all('"cached"' in verdict for verdict in verdicts)
