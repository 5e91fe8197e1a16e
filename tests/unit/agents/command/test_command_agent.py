"""The `command` agent with real commands in the process sandbox."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.command.agent import CommandAgent
from harness.agents.heartbeats.base import Intervention
from harness.attempt import Operator
from harness.errors import BudgetExhaustedError, ConfigurationError, InfrastructureError
from harness.sandbox.base import Guarantee, SandboxProvider
from harness.testing.cli import cli
from harness.testing.context import open_context
from harness.testing.endpoint import ScriptedEndpoint, text
from harness.testing.local_context import LocalContext

TWO = (Operator.IMPROVE, Operator.IMPROVE)


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", f"set -e\n{script}")


async def run(
    folder: Path,
    provider: SandboxProvider,
    command: Sequence[str],
    *,
    operators: Sequence[Operator] = (Operator.IMPROVE,),
    kind: type[LocalContext] = LocalContext,
    waiting: Sequence[Intervention] = (),
    tokens: int | None = None,
    **settings: Any,
) -> LocalContext:
    """The agent's whole run; the context as it was left."""
    config = AgentConfig(kind="command", command=list(command), **settings)
    async with open_context(
        folder, provider, config=config, operators=operators, kind=kind, tokens=tokens
    ) as context:
        context.pending += waiting
        async with asyncio.timeout(200):
            await CommandAgent(config).run(context)
    return context


def said(context: LocalContext, kind: str, name: str | None = None) -> list[str]:
    """What the transcript has of a type, in order."""
    return [
        turn["message"]["content"]
        for turn in context.transcript
        if turn["type"] == kind and (name is None or turn.get("name") == name)
    ]


def scores(context: LocalContext) -> list[float | None]:
    return [attempt.score for attempt in context.graph]


def came(context: LocalContext) -> list[Any]:
    """What the scripted CLI printed of its steps, of all its runs."""
    lines = "\n".join(said(context, "tool", "command")).splitlines()
    return [json.loads(line)["came"] for line in lines if line.startswith("{")]


async def test_a_shell_script_works_with_the_harness_command(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = sh(
        """
        cat > "$HOME/prompt"; grep -q "Directive 1" "$HOME/prompt"
        echo 5 > x.txt
        harness diff | grep '^+5'
        harness submit -m "five is more"
        harness memory note "five" "it is more than one"
        harness memory search five
        ! harness attempt 99
        harness board | grep "five is more"
        test -z "$HARNESS_RESUMED"
        """
    )
    context = await run(tmp_path, provider, script)
    [output] = said(context, "tool", "command")
    assert output.endswith("[exit code 0]")
    assert "Score: 5" in output
    assert scores(context) == [1, 5]
    assert [note.title for note in context.notes] == ["five"]
    names = [turn["name"] for turn in context.transcript if turn["type"] == "tool"]
    assert names == [
        "diff", "submit", "memory_note", "memory_search", "show_attempt", "board", "command",
    ]  # fmt: skip
    assert "Directive 1: improve" in said(context, "user")[0]
    assert "# Task: number" in said(context, "system")[0]


async def test_what_is_left_unsubmitted_is_submitted_and_the_conversation_goes_on(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = sh('echo "run $HARNESS_RESUMED" >> "$HOME/log"; wc -l < "$HOME/log" > x.txt')
    context = await run(tmp_path, provider, script, operators=TWO)
    # The first directive's 1 is the seed's own tree: nothing was changed.
    assert scores(context) == [1, 2]
    assert list(context.graph)[-1].title == "what the command left, unsubmitted"
    assert sum("# Task" in text for text in said(context, "system")) == 1


async def test_a_command_that_is_not_there_is_a_mistake_of_the_configuration(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    with pytest.raises(ConfigurationError, match="'no-such-agent' does not run in the sandbox"):
        await run(tmp_path, provider, ("no-such-agent", "{prompt}"))


@pytest.mark.slow
async def test_every_verb_of_the_harness_command_does_something(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = sh(
        """
        echo 5 > x.txt
        harness submit -m five --no-wait
        harness results --wait | grep "Score: 5"
        harness results
        echo "step" > tool.sh
        harness memory skill "a tool" - tool.sh < x.txt > skill
        harness focus "larger numbers" > /dev/null
        harness diff 1 --against 0 | grep "^+5"
        harness attempt 1 --path x.txt | grep 5
        harness try --timeout 5 -- sh -c "cat x.txt; echo 'tried'" | grep tried
        harness checkout 0 > /dev/null; cat x.txt | grep 1
        harness board --agent agent-1 | grep five
        harness call | grep memory_search
        harness call board '{}' | grep Leaders
        ! harness call board '{"nonsense": 1}'
        ! harness memory load nothing
        ! harness nonsense
        """
    )
    context = await run(tmp_path, provider, script)
    [output] = said(context, "tool", "command")
    assert output.endswith("[exit code 0]"), output
    assert [turn["name"] for turn in context.transcript if turn["type"] == "tool"] == [
        "submit", "results", "results", "memory_skill", "focus", "diff", "show_attempt", "try",
        "checkout", "board", "board", "board", "memory_skill", "command",
    ]  # fmt: skip
    assert [mate.focus for mate in context.team()] == ["larger numbers"]


@pytest.mark.slow
async def test_a_command_that_never_does_anything_is_given_up(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    with pytest.raises(InfrastructureError, match=r"3 times without doing anything.*no flag"):
        await run(tmp_path, provider, sh("echo no flag; exit 1"), operators=TWO * 3)


@pytest.mark.slow
async def test_a_command_has_no_network_but_its_own(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    if Guarantee.NETWORK in (await provider.describe()).not_enforced:
        pytest.skip("the process sandbox does not enforce here: network")
    with ScriptedEndpoint(lambda _: text("hello"), key="k") as endpoint:
        port = endpoint.url.split(":")[2].split("/")[0]
        probe = (
            "import socket, sys\n"
            "try: socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)\n"
            "except OSError as error: print('refused', error)\n"
            "print(open('/proc/net/dev').read())"
        )
        context = await run(
            tmp_path,
            provider,
            ("sh", "-c", f'python3 -c "{probe}" {port}; harness board'),
            model=ModelConfig(name="m", base_url=endpoint.url),
        )
    [output] = said(context, "tool", "command")
    assert "refused" in output
    devices = [line.split(":")[0].strip() for line in output.splitlines() if ":" in line]
    assert "eth0" not in devices
    assert "lo" in devices


class Told(LocalContext):
    """Gets a message while its command works: when a file appears in the workspace."""

    message = Intervention("user", "agent-1", "asked", "mind the gap", urgent=True)

    async def urgent(self) -> None:
        if self.message in self.delivered:
            await asyncio.Event().wait()
        while not (self.workplace / "ready").exists():
            await asyncio.sleep(0.02)
        self.delivered.append(self.message)
        self.pending.append(self.message)

    @property
    def workplace(self) -> Path:
        return self.checkpoints.parent / "workspace"

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.delivered: list[Intervention] = []


class Turned(Told):
    message = Intervention("pivot", "agent-1", "stuck", "turn", action="pivot", urgent=True)


INTERRUPTED = sh(
    """
    cat > prompt
    if grep -q "mind the gap" prompt; then echo "told $HARNESS_RESUMED"; echo 7 > x.txt; exit 0; fi
    if grep -q "turn" prompt; then echo 9 > x.txt; exit 0; fi
    harness board > /dev/null
    echo begun; touch ready; sleep 600
    """
)


async def test_an_urgent_message_ends_the_command_and_goes_on_with_it(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    context = await run(tmp_path, provider, INTERRUPTED, kind=Told)
    first, second = said(context, "tool", "command")
    assert first == "begun\n[ended for an urgent message]"
    assert second == "told 1\n[exit code 0]"
    assert scores(context) == [1, 7]


@pytest.mark.slow
async def test_a_pivot_ends_the_directive_and_is_told_with_the_next_one(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    context = await run(tmp_path, provider, INTERRUPTED, kind=Turned, operators=TWO)
    assert [attempt.directive for attempt in context.graph] == [None, 1, 2]
    assert scores(context)[-1] == 9
    prompts = [text for text in said(context, "user") if "# Directive" in text]
    assert "turn" not in prompts[0]
    assert prompts[1].index("turn") < prompts[1].index("# Directive 2")


@pytest.mark.slow
async def test_a_restart_begins_a_new_conversation(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    message = Intervention("refocus", "agent-1", "lost", "afresh", action="restart")
    script = sh(
        """
        echo "$HARNESS_SESSION $HARNESS_RESUMED" >> "$HOME/sessions"
        if [ "$(wc -l < "$HOME/sessions")" = 1 ]; then harness board; sleep 600; fi
        cat "$HOME/sessions"; echo 3 > x.txt
        """
    )

    class Restarted(LocalContext):
        """The message comes while the first command works."""

        def say(self, activity: str) -> None:
            super().say(activity)
            if activity == "board" and message not in self.pending:
                self.pending.append(message)

    context = await run(tmp_path, provider, script, kind=Restarted)
    sessions = said(context, "tool", "command")[-1].splitlines()[:2]
    assert len({line.split()[0] for line in sessions}) == 2
    assert not any(line.endswith(" 1") for line in sessions)


@pytest.mark.slow
async def test_messages_come_with_the_next_answer_of_a_tool(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    message = Intervention("reflect", "agent-1", "it is time", "look ```back```")

    class Reflecting(LocalContext):
        def say(self, activity: str) -> None:
            super().say(activity)
            if activity == "board" and "board" not in self.activities[:-1]:
                self.pending.append(message)

    context = await run(
        tmp_path, provider, sh("harness board; echo --; harness board"), kind=Reflecting
    )
    first, second = said(context, "tool", "command")[0].split("--")
    assert "A message to you (reflect):" in first
    assert "````message\nlook ```back```\n````" in first
    assert "look" not in second


@pytest.mark.slow
async def test_a_directive_has_a_deadline(tmp_path: Path, provider: SandboxProvider) -> None:
    script = sh("echo 4 > x.txt; trap 'echo bye; exit 0' TERM; sleep 600 & wait")
    context = await run(tmp_path, provider, script, directive_timeout_s=2.0)
    [output] = said(context, "tool", "command")
    assert output.endswith("[ended: the directive's time is over]")
    assert "bye" in output
    assert scores(context) == [1, 4]


@pytest.mark.slow
async def test_a_scripted_cli_talks_mcp_and_to_models_in_both_formats(
    tmp_path: Path, provider: SandboxProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_TEST_MODEL_KEY", "sk-very-secret-1234567890")
    titles = [{"title": f"note {number}", "text": f"text {number}"} for number in range(8)]
    with ScriptedEndpoint(lambda _: text("hello"), key="sk-very-secret-1234567890") as endpoint:
        context = await run(
            tmp_path,
            provider,
            cli(
                ["mcp-tools"],
                ["chat", "hi"],
                ["messages", "hi", {"stream": True}],
                ["write", "x.txt", "5\n"],
                ["mcp", "submit", {"title": "five"}],
                ["mcp", "submit", {"nonsense": 1}],
                ["mcp", "bash", {"command": "ls"}],
                ["mcp-many", "memory_note", titles],
                ["mcp-http", "board", {}],
                ["env", "OPENAI_API_KEY"],
                ["sh", "env; cat $HARNESS_MCP_CONFIG; grep -rs sk-very /tmp $HOME . && echo FOUND"],
            ),
            model=ModelConfig(
                name="m", base_url=endpoint.url, key_variable="HARNESS_TEST_MODEL_KEY"
            ),
        )
    results = came(context)
    tools, chat, message, _, submitted, wrong, bash, notes, board, key, grep = results
    assert {"submit", "board", "show_attempt", "memory_search", "try", "results"} <= set(tools)
    assert not {"bash", "read", "write", "edit"} & set(tools)
    assert chat["body"]["choices"][0]["message"]["content"] == "hello"
    assert message["events"][-1] == {"type": "message_stop"}
    assert "Score: 5" in submitted["text"]
    assert wrong["error"]
    assert "wrong arguments for `submit`" in wrong["text"]
    assert bash["error"]
    assert [note["error"] for note in notes] == [False] * 8
    assert sorted(note.title for note in context.notes) == sorted(t["title"] for t in titles)
    assert "five" in board["text"]
    assert key
    assert "sk-" not in key
    assert "FOUND" not in grep["output"]
    assert scores(context) == [1, 5]
    assert len(context.usage) == 2
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"sk-very-secret" not in file.read_bytes()
    assert "sk-very-secret" not in json.dumps(context.transcript)


@pytest.mark.slow
async def test_a_spent_budget_ends_the_command_and_the_run(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    with ScriptedEndpoint(lambda _: text("hello")) as endpoint:
        model = ModelConfig(name="m", base_url=endpoint.url, max_output_tokens=100)
        steps = cli(["write", "x.txt", "6\n"], ["chat", "hi"], ["chat", "hi"], ["sleep", 600])
        with pytest.raises(BudgetExhaustedError):
            await run(tmp_path, provider, steps, model=model, tokens=220)
        assert len(endpoint.chats) == 1


@pytest.mark.slow
async def test_a_call_that_is_sent_twice_is_made_once(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    twice = """
import http.client, json, os
for number in range(2):
    connection = http.client.HTTPConnection(os.environ["HARNESS_URL"][7:])
    body = {"tool": "submit", "arguments": {"title": "t"}, "id": "same"}
    head = {"Authorization": "Bearer " + os.environ["HARNESS_TOKEN"]}
    open("x.txt", "w").write(str(5 + number))
    connection.request("POST", "/harness/call", json.dumps(body), head)
    print(json.loads(connection.getresponse().read())["text"].splitlines()[0])
"""
    context = await run(tmp_path, provider, ("python3", "-c", twice))
    [output] = said(context, "tool", "command")
    assert output.splitlines()[:2] == ["Attempt 1: scored."] * 2
    assert scores(context) == [1, 5]
