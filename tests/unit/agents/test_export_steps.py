"""Model steps made from transcripts: each prompt is, word for word, what the endpoint was sent."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agents import pipelined
from tests.unit.agents.test_llm_interruptions import PIVOT, Told

from harness.agents.config import CompactionConfig
from harness.attempt import Operator
from harness.run.export.steps import NOT_RUN, Steps, read_steps
from harness.sandbox.base import SandboxProvider
from harness.testing.context import LocalContext
from harness.testing.endpoint import Behaviour, Reply, Request, text, tool_call, tool_calls
from harness.testing.play import Played, play

DONE = text("That is all.")
Record = dict[str, Any]


def _same(steps: Steps, requests: list[Request]) -> None:
    assert steps.left_out == 0
    assert len(steps.found) == len(requests)
    for step, request in zip(steps.found, requests, strict=True):
        assert _shapes(step.prompt) == _shapes(request.messages)


def _shapes(messages: list[Record]) -> list[Record]:
    """What is not run is told in the agent's words: which ones is not in the transcript."""
    return [
        {**message, "content": NOT_RUN} if _not_run(message) else message for message in messages
    ]


def _not_run(message: Record) -> bool:
    return message["role"] == "tool" and str(message["content"]).startswith("Not run")


def _busy(request: Request) -> Reply:
    return tool_call("read", path="x.txt")


@pytest.mark.parametrize("window", [9_000, 14_000, 128_000])
async def test_a_conversation_that_was_folded(
    tmp_path: Path, provider: SandboxProvider, window: int
) -> None:
    played = await play(
        tmp_path / "run",
        provider,
        _busy,
        seed={"x.txt": b"1\n" * 700},
        max_turns=9,
        context_tokens=window,
        operators=[Operator.IMPROVE] * 4,
        compaction=CompactionConfig(by_model=False),
    )
    folds = played.turns("compaction")
    assert bool(folds) == (window < 128_000)
    if window == 9_000:
        assert any(fold["trims"] for fold in folds), "outputs were cut as well"
    _same(read_steps(played.context.transcript), list(played.requests))


async def test_an_urgent_message_between_the_calls_of_one_answer(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [
        tool_calls(("bash", {"command": "sleep 60"}), ("write", {"path": "y", "content": "1"})),
        tool_call("submit", title="same"),
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script, kind=Told, command_timeout_s=60.0)
    steps = read_steps(played.context.transcript)
    _same(steps, list(played.requests))
    assert any(_not_run(message) for message in steps.found[1].prompt)


async def test_a_pivot_and_a_warm_start(tmp_path: Path, provider: SandboxProvider) -> None:
    def behave(request: Request) -> Reply:
        if request.number == 3:
            contexts[0].intervene(PIVOT)
        return tool_call("board") if request.number < 5 else DONE

    contexts: list[LocalContext] = []
    played = await play(
        tmp_path / "run",
        provider,
        behave,
        operators=[Operator.IMPROVE] * 2,
        prepare=contexts.append,
        warm_start=True,
    )
    _same(read_steps(played.context.transcript), list(played.requests))


async def _played(tmp_path: Path, provider: SandboxProvider, behaviour: Behaviour) -> Played:
    return await play(tmp_path / "run", provider, behaviour, max_turns=4)


Change = Callable[[list[Mapping[str, Any]]], list[Mapping[str, Any]]]


def _again(kind: str) -> Change:
    """The transcript of a run that was killed after the first record of a type was written."""

    def change(records: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        place = next(i for i, record in enumerate(records) if record["type"] == kind)
        lost = records[place]
        message = {**lost["message"], "content": "lost"} if kind != "user" else lost["message"]
        return [*records[:place], {**lost, "message": message}, *records[place:]]

    return change


@pytest.mark.parametrize("kind", ["user", "assistant", "tool"])
async def test_what_a_kill_made_double_counts_once(
    tmp_path: Path, provider: SandboxProvider, kind: str
) -> None:
    played = await _played(tmp_path, provider, _busy)
    records = _again(kind)(list(played.context.transcript))
    assert len(records) == len(played.context.transcript) + 1
    _same(read_steps(records), list(played.requests))


async def test_a_fold_that_a_kill_made_double(tmp_path: Path, provider: SandboxProvider) -> None:
    played = await play(
        tmp_path / "run",
        provider,
        _busy,
        seed={"x.txt": b"1\n" * 700},
        max_turns=9,
        context_tokens=9_000,
        compaction=CompactionConfig(by_model=False),
    )
    records: list[Mapping[str, Any]] = []
    for record in played.context.transcript:
        records += [record] * (2 if record["type"] == "compaction" else 1)
    assert len(records) > len(played.context.transcript)
    _same(read_steps(records), list(played.requests))


async def test_questions_that_are_asked_again(tmp_path: Path, provider: SandboxProvider) -> None:
    fix = "Verdict: FIX\nTwo is too small."
    model = pipelined.Model(
        plan=["I have no plan.", pipelined.PLAN],
        change_the_files=[pipelined.setting(2), "none", pipelined.setting(7, old=2)],
        review=fix,
    )
    played = await pipelined.play(tmp_path / "run", provider, model)
    steps = read_steps(played.context.transcript)
    assert [step.stage for step in steps.found] == [
        "plan", "plan", "diff", "review", "diff", "diff", "analyse",
    ]  # fmt: skip
    assert [len(step.prompt) for step in steps.found] == [2, 4, 2, 2, 2, 4, 2]
    requests = [request for each in model.requests.values() for request in each]
    _same(steps, sorted(requests, key=lambda request: request.number))


def test_answers_whose_prompts_are_not_known_are_counted_and_left_out() -> None:
    said = {"role": "assistant", "content": "x"}
    answer = {"at": 1.0, "type": "assistant", "message": said, "turn": 1}
    system = {"at": 0.5, "type": "system", "message": {"role": "system", "content": "s"}}
    command = read_steps([system, answer])
    assert (command.found, command.left_out) == ([], 1), "no mark of an agent of ours"
    continued = read_steps([answer | {"protocol": "tools"}])
    assert (continued.found, continued.left_out) == ([], 1), "its beginning is another agent's"
    damaged: list[Record] = [
        {"type": "damaged", "text": "{"},
        {"at": 1.0, "directive": 3},
        {"at": 1.0, "type": "user", "message": "no message"},
        {"at": 1.0, "type": "compaction"},
    ]
    whole = read_steps([*damaged, system, *damaged, answer | {"protocol": "tools"}])
    assert [step.prompt for step in whole.found] == [[{"role": "system", "content": "s"}]]
