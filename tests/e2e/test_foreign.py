"""Tasks in the formats of other tools, unchanged, through the command line."""

import time
from pathlib import Path

import pytest
from tests.e2e.conftest import TIMEOUT_S, Cli
from tests.e2e.reading import events
from tests.foreign.example import EXAMPLES, SEED_SCORES, copied


@pytest.fixture(autouse=True)
def _own_cache(cli: Cli) -> None:
    cli.environment["HARNESS_CACHE"] = str(cli.folder / "cache")


@pytest.mark.parametrize("name", ["coral_packaged", "openevolve_plain"])
def test_scored_checked_and_improved(cli: Cli, name: str) -> None:
    task = EXAMPLES / name
    seed = task / "seed" if (task / "seed").is_dir() else task
    scored = cli.json("eval", str(task), str(seed))
    assert (scored["status"], scored["score"]) == ("scored", SEED_SCORES[name])
    assert "scores can be forged" in cli("task", "check", str(task)).stdout
    done = cli.launch("launch", str(task), "--agents", "2", "--evals", "9")[-1]
    assert (done["reason"], done["evaluations"]) == ("evaluations", 9)
    gain = done["best"]["score"] - SEED_SCORES[name]
    assert gain < 0 if name == "coral_packaged" else gain > 0


@pytest.mark.slow
def test_a_command_is_scored_and_improved(cli: Cli) -> None:
    task = EXAMPLES / "command_style"
    done = cli.launch("launch", str(task), "--agents", "1", "--evals", "8")[-1]
    assert done["best"]["score"] < SEED_SCORES["command_style"]
    best = cli.json("show", "latest", done["best"]["attempt"])
    assert set(best["metrics"]) == {"steps", "rate"}


@pytest.mark.slow
def test_a_killed_run_goes_on(cli: Cli) -> None:
    """The folder may have changed or gone meanwhile: a run has its own copy."""
    task = copied("shinka_plain", cli.folder)
    running = cli.start("launch", str(task), "--agents", "2", "--evals", "24", "--json")
    deadline = time.monotonic() + TIMEOUT_S
    while len(_scores(cli)) < 4 and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running.kill()
    running.communicate()
    before = _scores(cli)
    assert 4 <= len(before) < 24
    (task / "evaluate.py").unlink()
    done = cli.launch("resume", "latest")[-1]
    assert done["evaluations"] == 24
    after = _scores(cli)
    assert before.items() <= after.items()
    assert done["best"]["score"] == max(score for score in after.values() if score is not None)
    assert done["best"]["score"] > SEED_SCORES["shinka_plain"]


def _scores(cli: Cli) -> dict[str, float | None]:
    """Scores of the run's evaluated attempts, as its journal has them."""
    stores = list(cli.folder.glob("runs/[!.]*/run.db"))
    if not stores:
        return {}
    verdicts = events(stores[-1].parent, "verdict")
    return {each["attempt"]: each["score"] for each in verdicts}


def test_what_is_wrong_is_told_in_three_lines(cli: Cli) -> None:
    task = copied("coral_legacy", cli.folder, {"eval/grader.py": None})
    said = cli("eval", str(task), str(task / "seed"), code=2).stderr.strip().splitlines()
    assert len(said) == 3
    assert "grader.py" in said[0]
    assert not list(Path(cli.environment["HARNESS_CACHE"]).glob("tasks/*"))


def test_a_broken_evaluator_is_looked_for_where_its_author_has_it(cli: Cli) -> None:
    task = copied("openevolve_plain", cli.folder, {"peak.py": "import nothing_there\n"})
    said = cli("eval", str(task), str(task), code=2).stderr
    assert "nothing_there" in said
    assert f"correct {task};" in said
