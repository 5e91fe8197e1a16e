"""Memory through the command line: it outlives runs, and its log tells what agents were shown."""

import shutil

import pytest
from tests.e2e.conftest import Cli

LAUNCH = ("launch", "circle_packing", "--agents", "2", "--sandbox", "process")


@pytest.mark.slow
def test_a_second_run_recalls_what_the_first_one_learnt(cli: Cli) -> None:
    first = cli.launch(*LAUNCH, "--evals", "4", "--seed", "1")[-1]["run"]
    second = cli.launch(*LAUNCH, "--evals", "4", "--seed", "2")[-1]["run"]
    third = cli.launch(*LAUNCH, "--evals", "3", "--seed", "2", "--memory", "run")[-1]["run"]

    listed = cli.json("memory", "list", "--limit", "100")["records"]
    attempts = [record for record in listed if record["kind"] == "attempt"]
    assert {record["run"] for record in attempts} == {first, second, third}
    assert {record["agent"] for record in listed if record["run"] == ""} <= {"consolidation"}
    one = cli.json("memory", "show", listed[0]["id"])
    assert one["record"]["id"] == listed[0]["id"]
    found = cli.json("memory", "search", "scale a column of numbers")["records"]
    assert found
    assert cli.json("memory", "search", "the weather in Lisbon tomorrow")["records"] == []
    stats = cli.json("memory", "stats")
    assert stats["records"] - stats["retired"] == len(listed)

    owner = {record["id"]: record["run"] for record in listed}
    shown = {
        run: {
            owner[record["id"]]
            for entry in cli.json("memory", "log", run)["entries"]
            if entry["op"] == "recall"
            for record in entry["records"]
        }
        for run in (second, third)
    }
    assert first in shown[second], "the task's memory reaches over runs"
    assert shown[third] <= {third}, "a run's own memory does not"


@pytest.mark.slow
def test_the_runs_log_survives_the_shared_memory(cli: Cli) -> None:
    run = cli.launch(*LAUNCH, "--evals", "8")[-1]["run"]
    shutil.rmtree(cli.environment["HARNESS_MEMORY"])
    entries = cli.json("memory", "log", run)["entries"]
    recalls = [entry for entry in entries if entry["op"] == "recall" and entry["records"]]
    assert recalls
    credited = [entry for entry in entries if entry["op"] == "credit"]
    assert credited
    served = cli.json("memory", "log", run, "--attempt", credited[0]["attempt"])["entries"]
    assert {entry["op"] for entry in served} >= {"write", "credit"}
    assert all(entry["attempt"] == credited[0]["attempt"] for entry in served)
