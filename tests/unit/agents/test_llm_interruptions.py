"""Interventions, urgent ones too, and the warm start."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.agents.base import Submitted
from harness.agents.heartbeats.base import Intervention
from harness.attempt import Operator
from harness.sandbox.base import SandboxProvider
from harness.testing.context import LocalContext
from harness.testing.endpoint import Reply, Request, text, tool_call, tool_calls
from harness.testing.play import play

DONE = text("That is all.")
URGENT = Intervention("user", "agent-1", "told", "Stop that.", urgent=True)
PIVOT = Intervention("pivot", "agent-1", "plateau", "Something else.", action="pivot")


class Told(LocalContext):
    """Says something urgent as soon as the agent begins to do what `when` says."""

    when = "bash"

    def say(self, activity: str) -> None:
        super().say(activity)
        if activity.startswith(self.when) and not self.turns_said:
            self.intervene(URGENT)

    @property
    def turns_said(self) -> bool:
        return self.activities.count(self.activities[-1]) > 1


class Slow(LocalContext):
    """Submissions whose verdict does not come while they are waited for."""

    async def submit(
        self, title: str, *, key: str, detail: Mapping[str, Any] | None = None, wait: bool = True
    ) -> Submitted:
        submitted = await super().submit(title, key=key, detail=detail, wait=False)
        if wait and title == "slow":
            self.intervene(URGENT)
            await asyncio.Event().wait()
        return submitted


async def test_an_urgent_message_cuts_a_command_short(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [
        tool_calls(("bash", {"command": "sleep 60"}), ("write", {"path": "y", "content": "1"})),
        tool_call("submit", title="same"),
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script, kind=Told, command_timeout_s=60.0)
    killed, other, *_ = played.results
    assert killed.startswith("The command was killed before its end.\n[interrupted after")
    assert "by an urgent message (`user`), see below]" in killed
    assert other.startswith("Not run: an urgent message came first")
    assert played.requests[1].messages[-1]["content"] == "Stop that."
    assert [turn["interrupted"] for turn in played.turns("tool")][:1] == [True]
    heard = [turn for turn in played.turns("user") if turn.get("rule") == "user"]
    assert [(turn["urgent"], turn["reason"]) for turn in heard] == [(True, "told")]


async def test_a_submission_cut_short_is_neither_lost_nor_doubled(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [
        tool_calls(("write", {"path": "x.txt", "content": "2"}), ("submit", {"title": "slow"})),
        tool_call("results", wait=True),
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script, kind=Slow)
    _, cut, results = played.results
    assert cut.startswith("Attempt 1 is recorded. Its verdict is not there yet")
    assert "interrupted after" in cut
    assert results.startswith("Attempt 1: scored.")
    assert [attempt.title for attempt in played.context.graph] == ["seed", "slow"]
    assert played.said("You have not submitted") == 0


async def test_a_pivot_ends_the_directive_at_once(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    def behave(request: Request) -> Reply:
        if request.number == 2:
            contexts[0].intervene(PIVOT)
        return tool_call("board") if request.number < 4 else DONE

    contexts: list[LocalContext] = []
    operators = [Operator.IMPROVE] * 2
    played = await play(
        tmp_path / "run", provider, behave, operators=operators, prepare=contexts.append
    )
    third = str(played.requests[2].messages[-1]["content"])
    assert third.startswith("Something else.\n\n# Directive 2")
    assert [turn["action"] for turn in played.turns("user") if turn.get("rule")] == ["pivot"]


async def test_the_warm_start_comes_first_and_once(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script: Sequence[Reply] = [
        tool_calls(
            ("memory_note", {"title": "steps", "text": "they are small"}),
            ("submit", {"title": "too early"}),
        ),
        text("My ideas are these."),
        tool_calls(("write", {"path": "x.txt", "content": "2"}), ("submit", {"title": "two"})),
        DONE,
        tool_call("submit", title="again"),
        DONE,
    ]
    played = await play(
        tmp_path / "run",
        provider,
        script,
        warm_start=True,
        operators=[Operator.DRAFT, Operator.IMPROVE],
    )
    first = played.requests[0]
    assert "# Before your first directive: research" in first.messages[1]["content"]
    assert "# Directive" not in first.messages[1]["content"]
    names = {tool["function"]["name"] for tool in first.body["tools"]}
    assert "submit" not in names
    assert "memory_note" in names
    assert "`submit` comes with the first directive" in played.results[1]
    assert "# Directive 1: draft" in str(played.requests[2].messages[-1]["content"])
    assert played.said("# Before your first directive") == 1
    assert [attempt.directive for attempt in played.context.graph][1:] == [1, 2]


@pytest.mark.slow
async def test_a_warm_start_without_notes_is_reminded_once_and_bounded(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [text("Hm."), text("Hm."), tool_call("submit", title="same"), DONE]
    played = await play(tmp_path / "run", provider, script, warm_start=True)
    assert played.said("You have written no note yet") == 1
    assert len(played.requests) == 4
