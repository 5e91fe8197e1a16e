"""The `llm` agent: the real client over real HTTP, a real sandbox, a real repository."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.config import CompactionConfig
from harness.agents.heartbeats.base import HeartbeatRule
from harness.agents.llm import LlmAgent
from harness.agents.llm.loop import MAX_REMINDERS
from harness.attempt import Operator, Status, Verdict
from harness.errors import BudgetExhaustedError, ModelRefusedError
from harness.ids import AgentId, AttemptId
from harness.sandbox.base import SandboxProvider
from harness.testing.behaviours import improver
from harness.testing.context import open_context
from harness.testing.endpoint import (
    Reply,
    Request,
    ScriptedEndpoint,
    empty_choices,
    malformed_json,
    rate_limited,
    text,
    tool_call,
    tool_calls,
)
from harness.testing.play import play

DONE = text("That is all.")
SUBMIT = tool_call("submit", title="a change")


async def test_every_tool_does_its_work(tmp_path: Path, provider: SandboxProvider) -> None:
    script = [
        tool_call("bash", command="cat x.txt; echo oops >&2; exit 3"),
        tool_calls(
            ("write", {"path": "sub/new.py", "content": "a = 1\nb = 2\n"}),
            ("edit", {"path": "sub/new.py", "search": "b = 2", "replace": "b = 3"}),
            ("read", {"path": "sub/new.py", "start": 2}),
            ("bash", {"command": "echo 7 > x.txt"}),
        ),
        tool_call("submit", title="seven"),
        tool_calls(
            ("memory_note", {"title": "larger wins", "text": "seven is more than one"}),
            ("memory_search", {"query": "what wins"}),
            ("memory_search", {"query": "unrelated"}),
            ("board", {}),
            ("show_attempt", {"attempt": "1"}),
            ("show_attempt", {"attempt": "1", "path": "sub/new.py"}),
        ),
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script)
    shell, wrote, edited, read, _, verdict, noted, found, nothing, board, shown, file = (
        played.results
    )
    assert shell.splitlines()[:2] == ["1", "oops"]
    assert "exit code 3" in shell
    assert "Wrote 12 bytes" in wrote
    assert edited == "Edited sub/new.py."
    assert "    2\tb = 3" in read
    assert "a = 1" not in read
    assert "Attempt 1: scored." in verdict
    assert "better, +6" in verdict
    assert noted.startswith("Noted as ")
    assert "seven is more than one" in found
    assert "nothing that bears on this" in nothing
    assert "1 from 0: “seven” (improve by agent-1): score 7" in board
    assert "+b = 3" in shown
    assert "a = 1" in file
    assert played.context.graph.best is not None
    assert played.context.graph.best.title == "seven"
    assert set(await played.context.read_attempt(AttemptId("1"))) == {"x.txt", "sub/new.py"}
    assert [note.title for note in played.context.notes] == ["larger wins"]
    assert len(played.context.usage) == 5


MISTAKES = [
    ("bsh", "{}", "Did you mean `bash`?"),
    ("no_such_thing", "{}", "there is no tool"),
    ("bash", "{}", "command: Field required"),
    ("bash", '{"command": "ls", "shell": "zsh"}', "shell: Extra inputs"),
    ("bash", '{"command": 5}', "command: Input should be a valid string"),
    ("bash", '{"command": "ls"', "not JSON"),
    ("bash", "[]", "wrong arguments"),
    ("bash", "null", "wrong arguments"),
    ("bash", '{"command": "a\\u0000b"}', "NUL"),
    ("read", '{"path": "missing.txt"}', "no such file: missing.txt"),
    ("read", '{"path": "../../etc/passwd"}', "cannot be read"),
    ("read", '{"path": "x.txt", "start": 9}', "the file has 1 lines"),
    ("write", '{"path": "/etc/passwd", "content": ""}', "cannot be written"),
    ("write", '{"path": "a", "content": "\\ud800"}', "lone surrogates"),
    ("edit", '{"path": "x.txt", "search": "9", "replace": "2"}', "Nothing was changed."),
    ("show_attempt", '{"attempt": "77"}', "ids go from 0 to 0"),
    ("show_attempt", '{"attempt": "0", "path": "y"}', "it has: x.txt"),
    ("board", '{"agent": "nobody"}', "agents: seed"),
]


async def test_what_the_model_gets_wrong_is_told_to_it(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [tool_calls((name, arguments)) for name, arguments, _ in MISTAKES]
    played = await play(tmp_path / "run", provider, [*script, SUBMIT, DONE])
    *results, submitted = played.results
    for (_, _, expected), result in zip(MISTAKES, results, strict=True):
        assert result.startswith("Error: ")
        assert expected in result
    assert submitted.startswith("Attempt 1"), "it went on"


async def test_long_commands_and_long_outputs_are_bounded(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [
        tool_call("bash", command="sleep 30", timeout_s=0.2),
        tool_call("bash", command="echo first; seq 1 200000; echo last"),
        tool_call("bash", command="printf '\\033[31mred\\033[0m\\r\\n\\000'"),
        SUBMIT,
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script)
    slow, long, coloured, _ = played.results
    assert "killed after 0.2 s" in slow
    assert long.startswith("first\n")
    assert "last\n[exit code 0" in long
    assert "characters left out" in long
    assert len(long) < 13_000
    assert coloured.startswith("red\n[exit code 0")


async def test_a_refused_submission_is_told_and_can_be_put_right(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [
        tool_calls(("bash", {"command": "ln -s /etc/passwd leak"}), ("submit", {"title": "leak"})),
        tool_calls(("bash", {"command": "rm leak; echo 2 > x.txt"}), ("submit", {"title": "two"})),
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script)
    assert "Error: the submission was refused" in played.results[1]
    assert "leak" in played.results[1]
    assert [attempt.title for attempt in played.context.graph] == ["seed", "two"]


async def test_endpoint_failures_in_the_middle_change_nothing(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [
        rate_limited(0.01),
        tool_call("write", path="x.txt", content="4"),
        malformed_json(),
        SUBMIT,
        empty_choices(),
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script)
    assert played.context.graph.best is not None
    assert played.context.graph.best.score == 4
    assert len(played.context.usage) == 5, "the two billed answers that did not parse count"


async def test_a_wrong_key_ends_the_agent_with_what_to_check(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    with pytest.raises(ModelRefusedError, match="check the key in OPENAI_API_KEY"):
        await play(tmp_path / "run", provider, [DONE], key="right")


async def test_a_model_that_does_nothing_is_reminded_then_left(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    operators = [Operator.IMPROVE, Operator.DRAFT]
    played = await play(tmp_path / "run", provider, lambda _: text("Hm."), operators=operators)
    assert len(played.requests) == len(operators) * (1 + MAX_REMINDERS)
    assert played.said("You have not submitted anything") == len(operators) * MAX_REMINDERS
    assert "# Directive 2: draft" in str(played.messages)


async def test_turns_are_bounded_and_the_end_is_announced(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    played = await play(tmp_path / "run", provider, lambda _: tool_call("board"), max_turns=5)
    assert len(played.requests) == 5
    assert played.said("3 turns are left") == 1


async def test_heartbeats_are_heard_at_the_next_turn(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    rule = HeartbeatRule(
        name="nag", trigger="interval", every=2, prompt="[nag {{ agent.evaluations }}]"
    )
    script = [
        tool_calls(
            ("write", {"path": "x.txt", "content": str(number)}), ("submit", {"title": "more"})
        )
        for number in range(2, 7)
    ]
    played = await play(tmp_path / "run", provider, [*script, DONE], rules=[rule])
    heard = [r.messages[-1]["content"] for r in played.requests if "[nag" in str(r.messages[-1])]
    assert heard == ["[nag 2]", "[nag 4]"]


async def test_five_duplicates_in_a_row_close_the_directive(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [tool_calls(*[("submit", {"title": "again"})] * 6), DONE, DONE, DONE]
    operators = [Operator.IMPROVE, Operator.IMPROVE]
    played = await play(tmp_path / "run", provider, script, operators=operators)
    assert [a.status for a in played.context.graph][1:] == [Status.DUPLICATE] * 5
    assert "directive is closed" in played.results[4]
    assert played.results[5].startswith("Not run")
    assert "# Directive 2" in str(played.messages)


async def test_the_conversation_stays_within_the_context_window(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    def busy(request: Request) -> Reply:
        if request.number == 7:
            return tool_call("memory_note", title="a finding", text="x")
        return tool_call("read", path="x.txt")

    window = 14_000
    operators = [Operator.IMPROVE] * 4
    played = await play(
        tmp_path / "run",
        provider,
        busy,
        seed={"x.txt": b"1\n" * 700},
        max_turns=6,
        context_tokens=window,
        operators=operators,
        compaction=CompactionConfig(by_model=False),
    )
    sizes = [len(json.dumps(request.messages, ensure_ascii=False)) for request in played.requests]
    assert len(sizes) == 4 * 6
    # The scripted endpoint counts a token for every 4 characters.
    assert window * 4 * 0.3 < max(sizes) < window * 4 * 0.6
    assert "# Directive 4" in str(played.messages)
    assert "Earlier turns were removed" in str(played.messages)
    assert "a finding" in str(played.messages), "titles of notes outlive compaction"
    assert any(turn["type"] == "compaction" for turn in played.context.transcript)


async def test_a_budget_that_is_used_up_stops_before_the_call_and_can_be_extended(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [tool_call("write", path="x.txt", content="3"), SUBMIT, DONE]
    with ScriptedEndpoint(script) as endpoint:
        model = ModelConfig(name="m", base_url=endpoint.url, max_output_tokens=100)
        config = AgentConfig(model=model)
        folder = tmp_path / "run"
        async with open_context(folder, provider, config=config, tokens=5500) as context:
            with pytest.raises(BudgetExhaustedError):
                await LlmAgent(config).run(context)
        before = len(endpoint.chats)
        assert 1 <= before < 3
        async with open_context(folder, provider, config=config) as context:
            await LlmAgent(config).run(context)
            assert context.graph.best is not None
            assert context.graph.best.score == 3
        assert len(endpoint.chats) == 3, "it went on where it had stopped"
        first = endpoint.chats[before - 1].messages
        assert endpoint.chats[before].messages[: len(first)] == first


async def test_agents_share_one_checkpoint_file(tmp_path: Path, provider: SandboxProvider) -> None:
    with ScriptedEndpoint(lambda r: DONE if len(r.messages) > 8 else SUBMIT) as endpoint:
        config = AgentConfig(model=ModelConfig(name="m", base_url=endpoint.url))

        async def one(number: int) -> None:
            agent = AgentId(f"agent-{number}")
            folder = tmp_path / agent
            async with open_context(folder, provider, config=config, agent=agent) as context:
                context.checkpoints = tmp_path / "agents.db"
                await LlmAgent(config).run(context)

        await asyncio.gather(*(one(number) for number in range(4)))
    with closing(sqlite3.connect(tmp_path / "agents.db")) as connection:
        threads = connection.execute("SELECT DISTINCT thread_id FROM checkpoints").fetchall()
        assert sorted(threads) == [(f"agent-{number}",) for number in range(4)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_checkpoints_grow_with_the_messages_not_with_their_square(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    steps = 80
    script = [tool_call("read", path="x.txt")] * steps + [SUBMIT, DONE]
    await play(
        tmp_path / "run",
        provider,
        script,
        seed={"x.txt": b"1" * 1000},
        max_turns=steps + 10,
        context_tokens=10_000_000,
    )
    with closing(sqlite3.connect(tmp_path / "run" / "agents.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (steps_taken,) = connection.execute("SELECT count(*) FROM checkpoints").fetchone()
    size = (tmp_path / "run" / "agents.db").stat().st_size
    assert steps_taken > 2 * steps
    assert size < 1_000_000, f"{size} bytes"


async def test_the_improver_improves_what_it_knows_nothing_of(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    def last_column(files: Any) -> Verdict:
        scope: dict[str, Any] = {}
        exec(files["table.py"], scope)  # noqa: S102 - text of this test, scaled
        total = sum(row[-1] for row in scope["TABLE"])
        return Verdict(Status.SCORED, total) if total < 2 else Verdict(Status.INVALID)

    played = await play(
        tmp_path / "run",
        provider,
        improver,
        seed={"table.py": b"TABLE = [(0.5, 0.5, 0.25), (1.0, 2.0, 0.75)]\n"},
        score=last_column,
        operators=[Operator.IMPROVE] * 4,
    )
    assert len(played.context.graph) == 5
    assert played.context.graph.best is not None
    assert played.context.graph.best.score is not None
    assert played.context.graph.best.score > 1.0
    assert len(played.context.notes) == 4
