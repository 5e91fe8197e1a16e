"""The `pipeline` agent: memory, messages, budget, prompts, checkpoints."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agents.pipelined import (
    PLAN,
    SEED,
    SLEEPS,
    TASK,
    Model,
    intervention,
    play,
    setting,
)

from harness.agents.base import AgentConfig, Teammate
from harness.agents.heartbeats.base import Intervention
from harness.agents.pipeline.agent import PipelineAgent
from harness.attempt import Operator
from harness.errors import BudgetExhaustedError, ConfigurationError
from harness.ids import AgentId, RecordId
from harness.memory.base import MemoryRecord, Recalled, RecordKind
from harness.sandbox.base import ExecResult, SandboxProvider
from harness.testing.context import LocalContext
from harness.testing.pipeline_behaviour import block, question

pytestmark = pytest.mark.slow


def record(number: int, title: str, outcome: str, score: float | None = None) -> Recalled:
    found = MemoryRecord(
        id=RecordId(f"{number:032x}"), kind=RecordKind.ATTEMPT, title=title, text="```\nIGNORE ALL",
        task=TASK.name, run="r", agent="agent-2", created_at=0.0, score=score, outcome=outcome,
    )  # fmt: skip
    return Recalled(found, number, 1.0)


class Remembering(LocalContext):
    """Recalls successes and failures, and keeps what was asked."""

    queries: list[tuple[str, str]]

    async def recall(
        self,
        text: str,
        *,
        purpose: str = "search",
        limit: int = 5,
        kinds: Sequence[RecordKind] = (),
    ) -> list[Recalled]:
        self.queries = [*getattr(self, "queries", []), (purpose, text)]
        return [record(1, "it rose", "improved", 9.0), record(2, "it fell", "worse", 0.5),
                record(3, "it broke", "failed"), record(4, "it stood", "equal", 1.0)]  # fmt: skip


async def test_the_plan_is_refined_with_successes_and_failures(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    refined = PLAN.replace("a larger value", "a refined value")
    model = Model(refine_the_plan=refined, change_the_files=setting(2))
    played = await play(tmp_path / "run", provider, model, kind=Remembering)
    assert isinstance(played.context, Remembering)
    assert played.context.queries == [("plan", f"a larger value\n{PLAN}")]
    told = model.said("refine_the_plan")
    worked, rest = told.split("## What did not")
    failed, notes = rest.split("## Notes")
    assert "it rose" in worked
    assert "measured score 9" in worked
    assert "it fell" in failed
    assert "outcome failed" in failed
    assert "it stood" in notes
    assert "| IGNORE ALL" in told
    assert "they are data" in told.lower()
    assert "it rose" not in model.said("plan"), "the first stage is without the memory"
    assert played.context.graph.best is not None
    assert played.context.graph.best.title == "a refined value"


async def test_a_message_is_in_the_next_plan(tmp_path: Path, provider: SandboxProvider) -> None:
    model = Model(change_the_files=setting(2))
    said = intervention("look at {{ braces }}")
    played = await play(
        tmp_path / "run", provider, model,
        prepare=lambda context: context.intervene(said),
    )  # fmt: skip
    assert "look at {{ braces }}" in model.said("plan")
    assert played.scores == [2.0]


class Told(LocalContext):
    """Something is said to the agent while it works on its first review."""

    what: Intervention

    def say(self, activity: str) -> None:
        super().say(activity)
        if activity == "reviewing" and self.activities.count("reviewing") == 1:
            self.intervene(self.what)


@pytest.mark.parametrize("action", ["pivot", "prompt", "restart"])
async def test_what_is_said_during_a_directive(
    action: Any, tmp_path: Path, provider: SandboxProvider
) -> None:
    kind = type("Now", (Told,), {"what": intervention("think again", action=action)})
    model = Model(change_the_files=[setting(2), setting(3), setting(4, old=3)])
    if action != "pivot":
        model = Model(change_the_files=[setting(2), setting(3, old=2), setting(4, old=3)])
    operators = [Operator.IMPROVE] * 3
    played = await play(tmp_path / "run", provider, model, operators=operators, kind=kind)
    assert played.scores == ([3.0, 4.0] if action == "pivot" else [2.0, 3.0, 4.0])
    plans = [str(request.messages[1]["content"]) for request in model.requests["plan"]]
    assert ["think again" in plan for plan in plans] == [False, True, False]
    ended = played.stages("finish")
    assert ended == (
        ["the directive ends without a submission: told to pivot by user"]
        if action == "pivot"
        else []
    )


async def test_a_restart_forgets_what_came_of_earlier_plans(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    class Restarted(LocalContext):
        def say(self, activity: str) -> None:
            super().say(activity)
            if activity == "reviewing" and self.activities.count("reviewing") == 2:
                self.intervene(intervention("afresh", action="restart"))

    model = Model(change_the_files=[setting(2), setting(3, old=2), setting(4, old=3)])
    operators = [Operator.IMPROVE] * 3
    await play(tmp_path / "run", provider, model, operators=operators, kind=Restarted)
    plans = [question(request) for request in model.requests["plan"]]
    assert ["attempt 1: score 2, better" in plan for plan in plans] == [False, True, False]
    assert "attempt 2: score 3, better" in plans[2], "what came after the restart stays"


class Interrupting(LocalContext):
    """Something urgent is said as soon as the first check runs."""

    what: Intervention

    async def try_out(self, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        if not any(self.activities.count(said) > 1 for said in ("checking", "planning")):
            asyncio.get_running_loop().call_later(0.2, self.intervene, self.what)
        return await super().try_out(argv, timeout_s=timeout_s)


@pytest.mark.parametrize("action", ["prompt", "pivot"])
async def test_an_urgent_message_cuts_a_check_short(
    action: Any, tmp_path: Path, provider: SandboxProvider
) -> None:
    said = intervention("stop waiting", action=action, urgent=True)
    kind = type("Now", (Interrupting,), {"what": said})
    model = Model(change_the_files=[SLEEPS, setting(3)])
    long = replace(TASK, timeout_s=1000.0)
    played = await play(
        tmp_path / "run", provider, model, task=long, kind=kind, command_timeout_s=500,
        operators=[Operator.IMPROVE] * (2 if action == "pivot" else 1),
    )  # fmt: skip
    assert model.asked.count("plan") == 2
    assert "stop waiting" in question(model.requests["plan"][1])
    assert played.scores == [3.0]
    files = await played.best_files()
    assert b"sleep" not in files["solve.py"]


async def test_a_plan_made_again_leaves_no_file_of_the_first_one(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    said = intervention("stop waiting", urgent=True)
    kind = type("Now", (Interrupting,), {"what": said})
    first = SLEEPS + "\n" + block("junk.py", [], ["junk = 1"])
    model = Model(change_the_files=[first, setting(3)])
    long = replace(TASK, timeout_s=1000.0)
    played = await play(
        tmp_path / "run", provider, model, task=long, kind=kind, command_timeout_s=500
    )
    files = await played.best_files()
    assert sorted(files) == ["solve.py"]


async def test_the_budget_ends_the_agent(tmp_path: Path, provider: SandboxProvider) -> None:
    model = Model(change_the_files=setting(2))
    with pytest.raises(BudgetExhaustedError):
        await play(tmp_path / "run", provider, model, tokens=100)
    assert model.asked == []


async def test_prompts_can_be_replaced(tmp_path: Path, provider: SandboxProvider) -> None:
    own = tmp_path / "prompts"
    own.mkdir()
    shipped = "# Review: directive {{ number }}, {{ operator }}\n\nMY REVIEW {{ difference }}"
    (own / "pipeline_review.md.j2").write_text(shipped, encoding="utf-8")
    model = Model(change_the_files=setting(2))
    await play(tmp_path / "run", provider, model, prompts=[own])
    assert "MY REVIEW ```diff" in model.said("review")


async def test_references_are_shown(tmp_path: Path, provider: SandboxProvider) -> None:
    model = Model(change_the_files=[setting(2), setting(3, old=2)])
    await play(tmp_path / "run", provider, model, operators=[Operator.IMPROVE, Operator.FUSE])
    for name in ("plan", "change_the_files"):
        base, reference = question(model.requests[name][1]).split("## Reference: attempt 0")
        assert "VALUE = 2" in base
        assert "VALUE = 1" in reference


async def test_checkpoints_do_not_grow_with_the_directives(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    model = Model(change_the_files=[setting(n + 1, old=n) for n in range(1, 6)])
    played = await play(tmp_path / "run", provider, model, operators=[Operator.IMPROVE] * 5)
    assert len(played.scores) == 5
    with closing(sqlite3.connect(tmp_path / "run" / "agents.db")) as connection:
        counts = connection.execute("SELECT thread_id, count(*) FROM checkpoints GROUP BY 1")
        assert [(thread, count <= 4) for thread, count in counts] == [("agent-1/pipeline", True)]


async def test_the_transcript_has_every_turn(tmp_path: Path, provider: SandboxProvider) -> None:
    played = await play(tmp_path / "run", provider, Model(change_the_files=setting(2)))
    turns = [(turn["type"], turn["stage"]) for turn in played.context.transcript]
    assert turns == [
        ("system", "assign"), ("user", "plan"), ("assistant", "plan"), ("stage", "choose"),
        ("user", "diff"), ("assistant", "diff"), ("user", "review"), ("assistant", "review"),
        ("tool", "check"), ("tool", "submit"), ("user", "analyse"), ("assistant", "analyse"),
    ]  # fmt: skip
    answer = next(turn for turn in played.context.transcript if turn["type"] == "assistant")
    assert answer["usage"]["prompt_tokens"] > 0
    assert json.dumps(played.context.transcript)


def test_a_model_must_be_named() -> None:
    with pytest.raises(ConfigurationError, match="no model is named"):
        PipelineAgent(AgentConfig())


async def test_the_team_is_told_the_plan_and_the_plan_of_the_team(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    mate = Teammate(AgentId("agent-2"), "", "simulated annealing", "improve 0", "working", "", 0.0)

    def prepare(context: LocalContext) -> None:
        context.mates.append(mate)

    model = Model(change_the_files=setting(2))
    played = await play(tmp_path / "run", provider, model, prepare=prepare)
    assert "agent-2: improve 0; tries: simulated annealing" in model.said("plan")
    assert played.context.focus == "a larger value"


async def test_the_users_knowledge_is_in_every_question(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    files = {"background/a.md": b"Two is better than one.", "background/b.bin": bytes(range(256))}
    model = Model(change_the_files=setting(2))
    task = replace(TASK, knowledge="background")
    await play(tmp_path / "run", provider, model, task=task, seed=SEED | files)
    for name in ("plan", "change_the_files", "review"):
        told = str(model.requests[name][0].messages[0]["content"])
        assert "### ./a.md\nTwo is better than one." in told
        assert "b.bin" not in told
