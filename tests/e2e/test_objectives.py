"""A task with a second objective, from the launch to what is shown of its Pareto front."""

import shutil
from pathlib import Path

import pytest
from tests.e2e.conftest import Cli

from harness.tasks.loader import library

OBJECTIVES = "objectives:\n  - {metric: registers, direction: minimize}\n"


def _task(cli: Cli, addition: str) -> Path:
    folder = cli.folder / "two"
    shutil.copytree(library()["sort_kernel"], folder)
    with (folder / "task.yaml").open("a", encoding="utf-8") as file:
        file.write(addition)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["hypervolume", "weighted"])
def test_the_front_is_kept_and_shown(cli: Cli, mode: str) -> None:
    folder = _task(cli, OBJECTIVES)
    (cli.folder / "harness.yaml").write_text(f"search: {{objectives: {mode}}}", encoding="utf-8")
    done = cli.launch(
        "launch", str(folder), "--agents", "2", "--evals", "12", "--sandbox", "process",
        "--memory", "run",
    )[-1]  # fmt: skip
    run = done["run"]
    graph = cli.json("graph", run)
    found = {
        node["id"]: (node["score"], node["metrics"]["registers"])
        for node in graph["nodes"]
        if node["status"] == "scored"
    }
    beaten = {
        each
        for each, mine in found.items()
        for other in found.values()
        if other != mine and other[0] <= mine[0] and other[1] <= mine[1]
    }
    values = {found[each] for each in found.keys() - beaten}
    assert {found[each] for each in graph["front"]} == values
    assert len(graph["front"]) == len(values)
    assert cli.json("status", run)["front"] == graph["front"]
    assert f"{len(values)} on the Pareto front" in cli("status", run).stdout
    assert "## Pareto front" in cli("report", run).stdout
    assert cli("graph", run).stdout.count("*front*") == len(values)


@pytest.mark.parametrize(
    "addition",
    [
        "objectives:\n  - {metric: score, direction: minimize}\n",
        "objectives:\n  - {metric: registers, direction: down}\n",
        "objectives:\n  - {metric: registers}\n",
    ],
)
def test_objectives_that_make_no_sense_are_refused(cli: Cli, addition: str) -> None:
    done = cli("launch", str(_task(cli, addition)), "--evals", "2", code=2)
    assert "objectives" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 3
