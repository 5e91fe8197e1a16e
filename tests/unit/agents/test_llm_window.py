"""The conversation within the model's window: summaries, refusals, other models."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.config import CompactionConfig
from harness.agents.heartbeats.base import Intervention
from harness.agents.llm import LlmAgent
from harness.agents.llm.room import MAX_SQUEEZES
from harness.agents.llm.window import MOST_CHARACTERS, Window, calibrated, new_gauge, refused
from harness.attempt import Operator
from harness.errors import ContextTooLongError
from harness.ids import AgentId
from harness.sandbox.base import SandboxProvider
from harness.testing.context import LocalContext, open_context
from harness.testing.endpoint import (
    Behaviour,
    Reply,
    Request,
    ScriptedEndpoint,
    refusal,
    text,
    tool_call,
    tool_calls,
)
from harness.testing.play import Played, play
from harness.testing.troubles import context_too_long

DONE = text("That is all.")
SEED = {"x.txt": b"1\n" * 700}


def is_summary_call(request: Request) -> bool:
    return "You write the summary" in str(request.messages[0]["content"])


def working(summary: Reply) -> Behaviour:
    """Submits once in each directive and reads a lot; answers a summary call with `summary`."""

    def behave(request: Request) -> Reply:
        if is_summary_call(request):
            return summary
        directives = str(request.messages).count("# Directive")
        if request.messages[-1]["role"] == "user" and directives:
            number = request.number + 1
            return tool_calls(
                ("write", {"path": "x.txt", "content": f"{number}\n" * 700}),
                ("submit", {"title": f"number {number}"}),
                content=f"I try {number}.",
            )
        return tool_call("read", path="x.txt")

    return behave


async def long_run(folder: Path, provider: SandboxProvider, summary: Reply, **more: Any) -> Played:
    return await play(
        folder,
        provider,
        working(summary),
        seed=SEED,
        max_turns=6,
        context_tokens=14_000,
        operators=[Operator.IMPROVE] * 4,
        **more,
    )


async def test_the_model_writes_the_summary_and_forgotten_attempts_are_added(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    summary = text("I settled on plan B. Attempt 1 was worse.")
    played = await long_run(tmp_path / "run", provider, summary)
    compactions = played.turns("compaction")
    by_model = [turn for turn in compactions if turn["by"] == "model"]
    assert by_model, compactions
    asked = [request for request in played.requests if is_summary_call(request)]
    assert len(asked) == len(by_model)
    assert "tools" not in asked[0].body
    assert "[you call submit]" in str(asked[0].messages[1]["content"])
    last = by_model[-1]["summary"]
    assert "I settled on plan B." in last
    # Attempt 1 is in the model's words; others that the removed turns were about are not.
    assert "- attempt 2: “number" in last
    assert "- attempt 1:" not in by_model[0]["summary"]
    assert all(turn["after"] < turn["characters"] for turn in compactions)
    assert "I settled on plan B." in str(played.messages)


@pytest.mark.parametrize(
    "bad",
    [
        text(""),
        pytest.param(refusal(400, "no"), marks=pytest.mark.slow),
        pytest.param(tool_call("board"), marks=pytest.mark.slow),
    ],
)
async def test_without_a_usable_summary_one_is_put_together(
    bad: Reply, tmp_path: Path, provider: SandboxProvider
) -> None:
    played = await long_run(tmp_path / "run", provider, bad)
    compactions = [turn for turn in played.turns("compaction") if turn["messages"]]
    assert {turn["by"] for turn in compactions} == {"run"}
    assert any(turn.get("failed") for turn in compactions)
    last = compactions[-1]["summary"]
    assert "- attempt 1: “number 2”" in last
    assert "number 2: I try 2." in last, "what was said of a submission"
    assert len(played.context.graph) >= 5, "it went on"


async def test_a_conversation_that_is_refused_as_too_long_is_made_shorter(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    limit = 8_000

    def small(request: Request) -> Reply:
        size = len(json.dumps(request.messages))
        if size > 2.5 * limit:
            return context_too_long(limit, size // 2)
        return behave(request)

    behave = working(text(""))
    played = await play(
        tmp_path / "run", provider, small, seed=SEED, max_turns=12, operators=[Operator.IMPROVE] * 2
    )
    assert {turn["why"] for turn in played.turns("compaction")} == {"too_long", "size"}
    assert "# Directive 2" in str(played.messages)
    # What was learnt of the real window is used: only the first time is it run into.
    refusals = len(played.requests) - len(played.turns("assistant"))
    assert 0 < refusals <= MAX_SQUEEZES


async def test_what_never_fits_is_an_error_after_bounded_tries(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    with ScriptedEndpoint(lambda _: context_too_long(100, 5000)) as endpoint:
        config = AgentConfig(model=ModelConfig(name="m", base_url=endpoint.url))
        async with open_context(tmp_path / "run", provider, config=config) as context:
            with pytest.raises(ContextTooLongError):
                await LlmAgent(config).run(context)
        assert len(endpoint.chats) == MAX_SQUEEZES + 1


async def test_a_restart_folds_everything_down_to_the_summary(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    again = Intervention("reset", "agent-1", "stuck", "Start anew.", action="restart")

    def restarting(request: Request) -> Reply:
        if request.number == 4:
            contexts[0].intervene(again)
        return tool_call("board") if request.number < 6 else DONE

    contexts: list[LocalContext] = []
    played = await play(
        tmp_path / "run",
        provider,
        restarting,
        prepare=contexts.append,
        compaction=CompactionConfig(by_model=False),
    )
    fifth = played.requests[4].messages
    assert [message["role"] for message in fifth] == ["system", "user"]
    assert "[summary]" in fifth[1]["content"]
    assert "# Directive 1" in fifth[1]["content"]
    assert fifth[1]["content"].endswith("Start anew.")
    assert [turn["why"] for turn in played.turns("compaction")] == ["restart"]


@pytest.mark.slow
async def test_a_smaller_model_forces_compaction_first(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    def behave(request: Request) -> Reply:
        if request.number == 5:
            small = {"name": "small", "context_tokens": 10_000}
            contexts[0].model = contexts[0].model.model_copy(update=small)
        return tool_call("read", path="x.txt") if request.number < 8 else DONE

    contexts: list[LocalContext] = []
    played = await play(
        tmp_path / "run",
        provider,
        behave,
        seed=SEED,
        prepare=contexts.append,
        compaction=CompactionConfig(by_model=False),
    )
    models = [request.body["model"] for request in played.requests]
    assert models[:6] == ["scripted"] * 5 + ["small"]
    sizes = [len(json.dumps(request.messages)) for request in played.requests]
    assert sizes[5] < sizes[4]
    changes = [(turn["before"] or "").split("@")[0] for turn in played.turns("model")]
    assert changes == ["", "scripted"]
    assert played.turns("compaction")[0]["why"] == "size"


def test_the_window_is_measured_by_what_the_endpoint_counts() -> None:
    model = ModelConfig(context_tokens=10_000, max_output_tokens=1000)
    config = CompactionConfig(above=0.6, to=0.3)
    gauge = new_gauge("m")
    assert Window(model, config, gauge, 1000).above == 17_000
    denser = calibrated(gauge, 10_000, 5_000)
    assert Window(model, config, denser, 1000).above == 11_000
    assert Window(model, config, denser, 1000).to == 5_500
    # An endpoint that counts nothing, or only what it has not cached, is not believed.
    assert calibrated(gauge, 10_000, 0) == gauge
    assert calibrated(gauge, 10_000, 10)["characters_per_token"] == MOST_CHARACTERS
    limit = refused(gauge, 10_000, ContextTooLongError("", limit=3000, requested=4000), 1000)
    assert limit["characters_per_token"] == 2.5
    assert limit["ceiling"] == 5000
    assert Window(model, config, limit, 1000).above == 3000
    assert refused(gauge, 9000, ContextTooLongError(""), 10)["ceiling"] == 9000


@pytest.mark.slow
async def test_a_thread_that_was_copied_is_the_new_agents_own(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    """What the first agent submitted without waiting is not the copy's to wait for."""
    from harness.agents.checkpoints import copy_thread

    script = [
        tool_calls(
            ("bash", {"command": "cd /tmp; export A=1"}), ("submit", {"title": "x", "wait": False})
        ),
        DONE,
        tool_calls(("results", {}), ("bash", {"command": "echo $A"})),
        DONE,
        DONE,
        DONE,
    ]
    with ScriptedEndpoint(script) as endpoint:
        config = AgentConfig(model=ModelConfig(name="m", base_url=endpoint.url))
        async with open_context(tmp_path / "one", provider, config=config) as context:
            await LlmAgent(config).run(context)
            assert copy_thread(context.checkpoints, "agent-1", "agent-2")
            database = context.checkpoints
        agent = AgentId("agent-2")
        async with open_context(tmp_path / "two", provider, config=config, agent=agent) as context:
            context.checkpoints = database
            await LlmAgent(config).run(context)
            results = [t["message"]["content"] for t in context.transcript if t["type"] == "tool"]
    assert results[0] == "No submission is waiting for its verdict."
    assert results[1].startswith("1\n")
    assert "You are agent-2" in str(endpoint.chats[2].messages[0]["content"])
    assert "# Directive 1" in str(endpoint.chats[2].messages)
