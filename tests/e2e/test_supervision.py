"""Agents that crash or return early, several models, a warm start, prompts of a task and a run."""

import json
import shutil
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli
from tests.e2e.reading import answer, calls, events, query, turns

import harness.tasks
from harness.testing.behaviours import stamping
from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, text, tool_call
from harness.testing.team_behaviour import team

pytestmark = pytest.mark.slow

PATIENCE_S = 90.0
LAUNCH = ("launch", "circle_packing", "--sandbox", "process", "--memory", "run")

AGENTS = '''
"""Agents of a user: one that crashes, one that returns after every submission."""

from pathlib import Path

LOG = Path(__file__).with_name("lives.txt")


async def work(context):
    assignment = await context.assignment()
    if assignment is None:
        return False
    number = assignment.directive.number
    source = f"STAMP = {number}\\n".encode()
    await context.sandbox.write_file("stamp.py", source)
    await context.submit(f"stamp {number}", key=f"stamp/{number}")
    return True


class Crashing:
    def __init__(self, config):
        pass

    async def run(self, context):
        with LOG.open("a") as file:
            file.write("life\\n")
        if len(LOG.read_text().splitlines()) <= 4:
            raise RuntimeError("not today")
        while await work(context):
            pass


class Brief:
    def __init__(self, config):
        pass

    async def run(self, context):
        await work(context)
'''


def _settings(cli: Cli, **settings: Any) -> None:
    # YAML has JSON in it.
    (cli.folder / "harness.yaml").write_text(json.dumps(settings), encoding="utf-8")


def test_a_crashing_agent_is_restarted_and_paused_and_the_others_go_on(cli: Cli) -> None:
    (cli.folder / "lab.py").write_text(AGENTS, encoding="utf-8")
    cli.environment["PYTHONPATH"] = str(cli.folder)
    _settings(
        cli,
        agents=[{"kind": "lab:Crashing"}, {"kind": "lab:Brief"}],
        heartbeats=[],
        team={"crashes": 3, "crash_window_s": 600, "crash_pause_s": 2},
    )
    process = cli.start(*LAUNCH, "--unsafe", "--evals", "5000", "--json")
    assert process.stdout is not None
    folder = cli.folder / "runs" / json.loads(process.stdout.readline())["run"]
    deadline = time.monotonic() + PATIENCE_S
    while not [each for each in events(folder, "submitted") if each["agent"] == "agent-1"]:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    cli("stop", folder.name)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert json.loads(stdout.splitlines()[-1])["reason"] == "stopped"

    crashes = events(folder, "crash")
    assert [each["agent"] for each in crashes] == ["agent-1"] * 4
    assert all("not today" in each["text"] for each in crashes)
    pauses = [late["at"] - early["at"] for early, late in pairwise(crashes)]
    for pause, least in zip(pauses, (1, 5, 2), strict=True):
        assert pause >= least, "the pauses grow; the third crash is followed by the long one"
    told = [each["text"] for each in events(folder, "warning") if "paused for" in each["text"]]
    assert told == ["crashed 3 times in 600 s: paused for 2 s"]
    others = [each["at"] for each in events(folder, "verdict") if _of(folder, each) == "agent-2"]
    meanwhile = [at for at in others if crashes[0]["at"] < at < crashes[-1]["at"]]
    assert len(meanwhile) > 2, "the other one goes on"
    lives = [each for each in events(folder, "directive") if each["agent"] == "agent-2"]
    assert len(lives) > 3, "after a clean exit there is a new directive"
    assert len({each["number"] for each in lives}) == len(lives)


def _of(folder: Path, event: dict[str, Any]) -> str:
    found = query(folder, "SELECT agent FROM attempts WHERE id = ?", event["attempt"])
    return str(found[0]["agent"])


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(by_model) as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "key"}
        yield server


_STAMPER = stamping()


def by_model(request: Request) -> Reply:
    """One of the models improves the score a little each time, the other one never does."""
    return team(request) if request.body["model"] == "able" else _STAMPER(request)


def test_a_bandit_gives_directives_to_the_model_that_pays(
    cli: Cli, endpoint: ScriptedEndpoint
) -> None:
    _settings(cli, heartbeats=[], agent={"models": ["idle", "able"]})
    done = cli.launch(*LAUNCH, "--unsafe", "--agents", "2", "--evals", "22")[-1]
    assert done["reason"] == "evaluations"
    folder = cli.folder / "runs" / done["run"]
    told = events(folder, "model_choice")
    choices = [each for each in told if "scores" in each]
    rewards = {each["directive"]: each for each in told if "gain" in each}
    given = {each["number"]: each["model"] for each in events(folder, "directive")}
    assert {each["directive"]: each["model"] for each in choices} == given
    assert all(set(each["scores"]) == {"idle", "able"} for each in choices)
    assert set(rewards) <= set(given)
    for number, reward in rewards.items():
        assert reward["model"] == given[number]
        assert reward["tokens"] > 0
        assert (reward["gain"] > 0) == (reward["model"] == "able"), reward
    assert {reward["model"] for reward in rewards.values()} == {"idle", "able"}
    late = [each["model"] for each in choices][len(choices) // 2 :]
    assert late.count("able") > late.count("idle"), "what pays is chosen more often"
    calls_by_model = query(folder, "SELECT DISTINCT model FROM model_calls")
    assert {row["model"] for row in calls_by_model} == {"idle", "able"}
    asked = {chat.body["model"] for chat in endpoint.chats}
    assert asked == {"idle", "able"}


def studious(request: Request) -> Reply:
    """Writes a note in the research phase, then stamps."""
    said = json.dumps(request.messages)
    if "# Directive" in said:
        return _STAMPER(request)
    if '"name": "memory_note"' in said:
        return text("First I move the centres.")
    return tool_call("memory_note", title="what limits the score", text="The room in the corners.")


def test_a_warm_start_writes_notes_before_the_first_draft(cli: Cli) -> None:
    with ScriptedEndpoint(studious) as endpoint:
        cli.environment |= {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "key"}
        _settings(cli, heartbeats=[], agent={"warm_start": True})
        done = cli.launch(
            *LAUNCH, "--unsafe", "--agents", "2", "--evals", "6", "--model", "scripted"
        )[-1]
        assert done["evaluations"] == 6
    folder = cli.folder / "runs" / done["run"]
    for agent in ("agent-1", "agent-2"):
        records = turns(folder, agent)
        opening = [each["message"]["harness"] for each in records if each["type"] == "user"]
        assert opening[:2] == ["research", "directive"]
        assert "research" not in opening[1:]
        note, *others = calls(records)
        assert (note["name"], json.loads(note["arguments"])["title"]) == (
            "memory_note", "what limits the score",
        )  # fmt: skip
        assert "Noted as" in answer(note)
        assert others
    sql = "SELECT MIN(at) AS at FROM memory_log WHERE op = 'write' AND attempt IS NULL"
    attempts = "SELECT MIN(created_at) AS at FROM attempts WHERE id > 0"
    assert query(folder, sql)[0]["at"] < query(folder, attempts)[0]["at"]
    phases = [{tool["function"]["name"] for tool in chat.body["tools"]} for chat in endpoint.chats]
    assert "submit" not in phases[0]
    assert "submit" in phases[-1]


def test_prompts_of_the_task_and_of_the_run_stand_in_for_the_shipped_ones(cli: Cli) -> None:
    library = Path(harness.tasks.__file__).parent / "library" / "circle_packing"
    task = cli.folder / "packing"
    shutil.copytree(library, task)
    for folder, name, words in (
        (task / "prompts", "operator_improve", "TASK: make one circle larger."),
        (task / "prompts", "heartbeat_reflect", "TASK: look back, {{ agent.agent }}."),
        (cli.folder / "words", "heartbeat_reflect", "RUN: look back, {{ agent.agent }}."),
        (cli.folder / "words", "operator_draft", "RUN: begin anew."),
    ):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.md.j2").write_text(words, encoding="utf-8")
    with ScriptedEndpoint(stamping()) as endpoint:
        cli.environment |= {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "key"}
        _settings(
            cli,
            heartbeats=[{"name": "reflect", "every": 2}],
            agent={"prompts": str(cli.folder / "words")},
        )
        done = cli.launch(
            "launch", str(task), "--sandbox", "process", "--unsafe", "--memory", "run",
            "--agents", "1", "--evals", "9", "--model", "scripted",
        )[-1]  # fmt: skip
        said = json.dumps([chat.messages for chat in endpoint.chats])
    assert done["evaluations"] == 9
    assert "RUN: begin anew." in said
    assert "Draft a new solution from scratch" not in said
    assert "RUN: look back, agent-1." in said, "the run's own comes before the task's"
    assert "TASK: look back" not in said
    assert "TASK: make one circle larger." in said
    assert "Improve the base with one focused change" not in said
