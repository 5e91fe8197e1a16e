"""A run's model says what was learnt, and the memory keeps it with its evidence."""

import json
import re

import pytest
from tests.e2e.conftest import Cli

from harness.testing.behaviours import improver
from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, text

TITLE = "Scaling the radii pays"


def learner(request: Request) -> Reply:
    """As `improver`; asked what was learnt, it names two attempts that it was shown."""
    asked = str(request.messages[-1]["content"])
    if "Answer with a JSON array" not in asked:
        return improver(request)
    shown = re.findall(r"^(\d+): ", asked, re.MULTILINE)
    good = {"title": TITLE, "text": "By a little at a time.", "evidence": shown[:2]}
    made_up = {"title": "No evidence", "text": "At all.", "evidence": ["900", "901"]}
    return text(json.dumps([good, made_up]))


@pytest.mark.slow
def test_a_model_sums_up_what_was_learnt(cli: Cli) -> None:
    del cli.environment["HARNESS_MEMORY__DISTIL_BY_MODEL"]
    flags = ("--agents", "2", "--model", "scripted", "--sandbox", "process", "--unsafe")
    with ScriptedEndpoint(learner) as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none-at-all"}
        done = cli.launch("launch", "circle_packing", "--evals", "9", *flags)[-1]
        asked = [c for c in server.chats if "Answer with a JSON" in str(c.messages[-1]["content"])]
    assert len(asked) == 1
    assert "circle_packing" in str(asked[0].messages[-1]["content"])
    assert cli.json("status", "latest")["tokens"] == done["tokens"]
    records = cli.json("memory", "list", "--kind", "insight")["records"]
    by_model = [each for each in records if each["agent"] == "distiller"]
    assert [each["title"] for each in by_model] == [TITLE]
    assert "(from attempts " in by_model[0]["text"]


@pytest.mark.slow
def test_a_model_that_is_gone_costs_nothing(cli: Cli) -> None:
    del cli.environment["HARNESS_MEMORY__DISTIL_BY_MODEL"]
    flags = ("--agents", "1", "--model", "scripted", "--sandbox", "process", "--unsafe")

    def behaviour(request: Request) -> Reply:
        if "Answer with a JSON array" in str(request.messages[-1]["content"]):
            return Reply(status=500, body={"error": {"message": "no more"}})
        return improver(request)

    with ScriptedEndpoint(behaviour) as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none-at-all"}
        cli.environment["HARNESS_AGENT__MODEL__RETRIES"] = "1"
        done = cli.launch("launch", "circle_packing", "--evals", "8", *flags)[-1]
    assert (done["reason"], done["evaluations"]) == ("evaluations", 8)
    assert "no insights of the model" in cli("report", "latest").stdout
