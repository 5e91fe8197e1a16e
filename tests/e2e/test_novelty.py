"""An agent that changes nothing but comments, through the command line."""

import json
from typing import Any

import pytest
from tests.e2e.conftest import Cli
from tests.e2e.reading import events

pytestmark = pytest.mark.slow

AGENT = '''
from harness.errors import SubmissionRefusedError


class Commenting:
    """Adds a comment that was not there before, until it is evaluated; then goes on."""

    def __init__(self, config):
        self.notes = 0

    async def run(self, context):
        while (assignment := await context.assignment()) is not None:
            source = (await context.read_attempt(assignment.base.id))["solve.py"]
            for _ in range(5):
                self.notes += 1
                await context.sandbox.write_file("solve.py", source + b"# note %d\\n" % self.notes)
                try:
                    await context.submit("note", key=f"note/{self.notes}")
                    break
                except SubmissionRefusedError:
                    pass
'''


STUBBORN = AGENT.replace("range(5)", "range(1)")
"""Submits a comment once in each directive: without an end it would be asked for ever."""


def test_an_agent_that_has_nothing_new_ends_the_run(cli: Cli) -> None:
    (cli.folder / "lab.py").write_text(STUBBORN, encoding="utf-8")
    cli.environment["PYTHONPATH"] = str(cli.folder)
    settings = {"agents": [{"kind": "lab:Commenting"}]}
    (cli.folder / "harness.yaml").write_text(json.dumps(settings), encoding="utf-8")
    done = cli.launch(
        "launch", "circle_packing", "--sandbox", "process", "--unsafe", "--memory", "run",
        "--evals", "9",
    )[-1]  # fmt: skip
    assert (done["reason"], done["evaluations"]) == ("exhausted", 1)


def _launch(cli: Cli, **novelty: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    (cli.folder / "lab.py").write_text(AGENT, encoding="utf-8")
    cli.environment["PYTHONPATH"] = str(cli.folder)
    settings = {"agents": [{"kind": "lab:Commenting"}], "search": {"novelty": novelty}}
    (cli.folder / "harness.yaml").write_text(json.dumps(settings), encoding="utf-8")
    done = cli.launch(
        "launch", "circle_packing", "--sandbox", "process", "--unsafe", "--memory", "run",
        "--evals", "3",
    )[-1]  # fmt: skip
    folder = cli.folder / "runs" / done["run"]
    return events(folder, "refused"), cli.json("attempts", done["run"])["attempts"]


def test_comments_alone_are_refused_a_few_times_and_cost_nothing(cli: Cli) -> None:
    refused, attempts = _launch(cli, retries=2)
    assert len(attempts) == 3
    assert len(refused) == 4, "two in each of the two directives that ended in an attempt"
    assert "differs only in comments" in refused[0]["reason"]
    assert "attempt 0 (scored, score 1.17" in refused[0]["reason"]


def test_nothing_is_refused_when_it_is_switched_off(cli: Cli) -> None:
    refused, attempts = _launch(cli, normalised=False)
    assert len(attempts) == 3
    assert refused == []
