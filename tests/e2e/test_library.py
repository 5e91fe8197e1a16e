"""The offline agent improves what ships with the package."""

import statistics

import pytest
from tests.e2e.conftest import Cli

from harness.tasks.loader import library, load_task

OTHERS = {"bin_packing"}
"""What the offline agent does not improve: its seed is a rule with hardly a constant to change."""
TASKS = [n for n in sorted(library()) if n not in OTHERS and not load_task(n).file.limits.gpus]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_seed_of_every_library_task_is_improved(cli: Cli, task: str) -> None:
    records = cli.launch(
        "launch", task, "--agents", "4", "--evals", "60", "--seed", "1", "--sandbox", "process"
    )
    seed = next(r["score"] for r in records if r.get("id") == "0")
    best = records[-1]["best"]["score"]
    assert best < seed if load_task(task).direction == "minimize" else best > seed


@pytest.mark.slow
def test_circle_packing_reaches_one_and_a_half_times_the_seed(cli: Cli) -> None:
    best: list[float] = []
    for seed in range(1, 6):
        done = cli.launch(
            "launch", "circle_packing", "--agents", "4", "--evals", "120", "--seed", str(seed),
            "--sandbox", "process", "--memory", "run",
        )[-1]  # fmt: skip
        assert done["evaluations"] == 120
        best.append(done["best"]["score"])
    print(f"best of five seeds: {best}")
    assert statistics.median(best) >= 1.5 * 1.17
