"""The tools that keep something between calls, and those towards attempts and the team."""

from pathlib import Path
from typing import Any

import pytest

from harness.agents.base import Teammate
from harness.agents.tools import TOOLS, tool_schemas
from harness.agents.tools.shell import MAX_VARIABLE_BYTES, Shell
from harness.attempt import Operator
from harness.ids import AgentId, AttemptId
from harness.sandbox.base import SandboxProvider
from harness.testing.context import LocalContext, open_context
from harness.testing.endpoint import text, tool_call, tool_calls
from harness.testing.play import play

DONE = text("That is all.")


async def test_the_shell_goes_on_where_it_was(tmp_path: Path, provider: SandboxProvider) -> None:
    async with open_context(tmp_path / "run", provider) as context:
        shell = Shell()

        async def run(command: str, timeout_s: float = 30.0) -> str:
            return (await shell.run(context.sandbox, command, timeout_s)).text()

        await run("mkdir -p 'a b' && cd 'a b' && export X='1\n2' Y=$HOME LOCAL=; unset Y; z=3")
        assert await run('pwd; printf "%s|%s|%s" "$X" "${z-none}" "${Y-none}"') == (
            f"{context.sandbox.workdir}/a b\n1\n2|none|none"
        )
        # It survives a resume, and what did not come to its end changes nothing.
        shell = Shell.load(shell.dump())
        await run("cd /; export X=9; sleep 30", 0.3)
        await run("cd /; kill -9 $$")
        assert await run("echo ${PWD##*/} $X; exit 3") == "a b 1 2\n"
        await run("cd / && syntax error (")
        await run("rm -r ../'a b'")
        assert (await run("pwd")).splitlines() == [
            f"[{context.sandbox.workdir}/a b is gone: this runs in {context.sandbox.workdir}]",
            context.sandbox.workdir,
        ]
        assert shell.cwd == ""


async def test_no_output_passes_for_the_shells_state(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    async with open_context(tmp_path / "run", provider) as context:
        shell = Shell()
        forged = "for fd in 1 2 9; do printf 'x\\n/tmp\\n\\0EVIL=1\\0x\\n' >&$fd; done; env; set"
        result = await shell.run(context.sandbox, f"sh -c '{forged.replace(chr(39), chr(34))}'", 30)
        assert result.ok
        assert (shell.cwd, "EVIL" in shell.variables) == ("", False)
        big = f"export BIG=$(head -c {MAX_VARIABLE_BYTES} /dev/zero | tr '\\0' x) SMALL=1"
        await shell.run(context.sandbox, big, 30)
        assert shell.variables == {"SMALL": "1"}


async def test_jobs_run_beside_the_agent_and_end_with_the_directive(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [
        tool_call("bash", command="echo begun; sleep 60", background="long"),
        tool_call("bash", command="cd sub; pwd; exit 4", background="short"),
        tool_call("jobs", action="wait", name="short"),
        tool_calls(
            ("bash", {"command": "true", "background": "long"}),
            ("bash", {"command": "true", "background": "no/name"}),
            ("jobs", {"action": "output", "name": "other"}),
            # It stands still while it is read what is submitted.
            ("write", {"path": "x.txt", "content": "2"}),
            ("submit", {"title": "two"}),
            ("jobs", {"action": "output", "name": "long"}),
            ("jobs", {}),
        ),
        DONE,
        tool_calls(("jobs", {}), ("write", {"path": "x.txt", "content": "3"})),
        tool_call("submit", title="three"),
        DONE,
    ]
    operators = [Operator.IMPROVE] * 2
    played = await play(tmp_path / "run", provider, script, operators=operators)
    started, _, waited, twice, name, unknown, _, submitted, long, listed, none, *_ = played.results
    assert "Started 'long'" in started
    assert "[ended with exit code 4" in waited
    assert "is running: stop it" in twice
    assert "a name of letters" in name
    assert "there are: long, short" in unknown
    assert submitted.startswith("Attempt 1: scored.")
    assert long.startswith("begun\n[running for")
    assert "short: ended with exit code 4" in listed
    assert "long: stopped" in none
    assert played.said("[jobs] Stopped with the last directive: long.") == 1
    files = await played.context.read_attempt(AttemptId("1"))
    assert set(files) == {"x.txt"}, "what is in .harness is not submitted"


@pytest.mark.slow
async def test_a_finished_job_is_told_once(tmp_path: Path, provider: SandboxProvider) -> None:
    script = [
        tool_call("bash", command="true", background="quick"),
        tool_call("bash", command="sleep 0.5"),
        tool_call("board"),
        tool_call("submit", title="same"),
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script)
    assert played.said("[jobs] quick: ended with exit code 0") == 1


async def test_a_long_output_can_be_read_again(tmp_path: Path, provider: SandboxProvider) -> None:
    script = [
        tool_call("bash", command="seq 1 20000"),
        tool_call("checkout", attempt="0"),
        tool_call("read", path=".harness/outputs/0.txt", start=10_000, end=10_000),
        tool_call("submit", title="same"),
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script)
    long, checked, read, *_ = played.results
    assert long.startswith("1\n2\n")
    assert "20000\n[exit code 0" in long
    assert "all of it is in .harness/outputs/0.txt until this directive ends" in long
    assert "files of attempt 0" in checked
    assert read.startswith("10000\t10000")


async def test_try_runs_what_would_be_submitted_and_keeps_nothing(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    script = [
        tool_calls(
            ("bash", {"command": "echo 5 > x.txt; mkdir -p .cache; echo no > .cache/y"}),
            ("try", {"command": "cat x.txt; ls -a; echo 6 > x.txt; exit 2"}),
            ("bash", {"command": "cat x.txt; ln -s / leak"}),
            ("try", {"command": "true"}),
        ),
        DONE,
        DONE,
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script)
    _, tried, after, refused = played.results
    assert tried.startswith("5\n")
    assert "exit code 2" in tried
    assert ".cache" not in tried
    assert after.startswith("5\n")
    assert "Error: your workspace cannot be tried" in refused
    assert len(played.context.graph) == 1


EDITS: list[tuple[dict[str, Any], str, str | None]] = [
    ({"search": "a = 1", "replace": "a = 2"}, "Edited m", "a = 2\nb = 1\nc = 1\n"),
    (
        {"edits": [{"search": "a = 1", "replace": "a = 3"}, {"search": "c = 1\n", "replace": ""}]},
        ".py in 2 places.",
        "a = 3\nb = 1\n",
    ),
    (
        {"blocks": "<<<<<<< SEARCH\nb = 1\n=======\nb = 4\n>>>>>>> REPLACE"},
        "Edited m",
        "a = 1\nb = 4\nc = 1\n",
    ),
    (
        {"edits": [{"search": "a = 1", "replace": "a = 5"}, {"search": "1", "replace": "2"}]},
        "block 2 of 2: `search` occurs 3 times",
        None,
    ),
    ({"search": "a = 1", "edits": [{"search": "b", "replace": "c"}]}, "not several of them", None),
    ({"blocks": "no block"}, "there is no block", None),
    (
        {"blocks": "<<<<<<< SEARCH n.py\nb = 1\n=======\nb = 4\n>>>>>>> REPLACE"},
        "a block names n.py",
        None,
    ),
    ({"replace": "x"}, "to insert, search for a line", None),
    ({"path": "new.py", "replace": "x = 1\n"}, "Edited new.py.", None),
    ({"path": "other.py", "search": "x", "replace": "y"}, "no such file: other.py", None),
]


async def test_edit_takes_three_forms_and_applies_all_or_nothing(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    before = "a = 1\nb = 1\nc = 1\n"
    calls = [("edit", {"path": f"m{n}.py", **given}) for n, (given, _, _) in enumerate(EDITS)]
    seed = {f"m{n}.py": before.encode() for n in range(len(EDITS))}
    script = [tool_calls(*calls), DONE, DONE, DONE]
    played = await play(tmp_path / "run", provider, script, seed={"x.txt": b"1", **seed})
    for number, (result, (_, answer, content)) in enumerate(
        zip(played.results, EDITS, strict=True)
    ):
        assert answer in result
        after = (tmp_path / "run" / "workspace" / f"m{number}.py").read_text()
        assert after == (content or before)


async def test_verdicts_can_be_fetched_later(tmp_path: Path, provider: SandboxProvider) -> None:
    script = [
        tool_calls(
            ("results", {}),
            ("write", {"path": "x.txt", "content": "2"}),
            ("submit", {"title": "two", "wait": False}),
            ("write", {"path": "x.txt", "content": "3"}),
            ("submit", {"title": "three", "wait": False}),
            ("results", {"wait": True}),
            ("results", {}),
            ("diff", {}),
            ("diff", {"attempt": "2", "against": "1"}),
            ("diff", {"against": "1"}),
        ),
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script)
    none, _, first, _, _, both, empty, mine, theirs, wrong = played.results
    assert none == empty == "No submission is waiting for its verdict."
    assert first == "Attempt 1 is recorded. Its verdict is not there yet: ask `results`."
    assert both.index("Attempt 1: scored.") < both.index("Attempt 2: scored.")
    assert "-1\n+3" in mine
    assert "-2\n" in theirs
    assert "`against` goes with `attempt`" in wrong


async def test_the_team_and_its_skills(tmp_path: Path, provider: SandboxProvider) -> None:
    def prepare(context: LocalContext) -> None:
        mate = Teammate(AgentId("agent-2"), "sceptic", "```small steps", "tune 0", "working", "", 0)
        context.mates.append(mate)

    script = [
        tool_calls(
            ("focus", {"focus": "larger\nsteps", "role": "explorer"}),
            ("focus", {}),
            ("board", {}),
            ("bash", {"command": "mkdir -p lib; echo 'x = 1' > lib/tool.py"}),
            ("memory_skill", {"title": "steps", "text": "walks", "paths": ["lib/tool.py"]}),
            ("memory_skill", {"title": "steps", "text": "walks", "paths": ["none.py"]}),
            ("memory_skill", {"title": "steps"}),
            ("memory_search", {"query": "steps"}),
            ("memory_skill", {"load": "0"}),
            ("memory_skill", {"load": "f"}),
            ("bash", {"command": "cat .harness/skills/00000000/lib/tool.py"}),
        ),
        DONE,
        DONE,
        DONE,
    ]
    played = await play(tmp_path / "run", provider, script, prepare=prepare)
    claimed, empty, board, _, shared, missing, half, found, loaded, unknown, content = (
        played.results
    )
    assert "agent-2: tune 0; tries: ```small steps; role: sceptic" in claimed
    assert "what your role is now" in empty
    assert "agent-2: tune 0" in board
    assert shared == "Shared as 00000000: lib/tool.py."
    assert "no such file: none.py" in missing
    assert "give `title`, `text` and `paths`" in half
    assert "`load` and a skill's id" in found
    assert "in .harness/skills/00000000: lib/tool.py" in loaded
    assert "no record 'f'" in unknown
    assert content.startswith("x = 1")
    assert (played.context.focus, played.context.role) == ("larger steps", "explorer")
    assert "What your teammates try now" in str(played.messages[1]["content"])


async def test_a_skill_is_shared_and_loaded_only_while_its_check_passes(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    share = {"title": "steps", "text": "walks", "paths": ["tool.py"]}
    script = [
        tool_calls(
            ("bash", {"command": "echo 'x = 1' > tool.py; touch here"}),
            ("memory_skill", {**share, "check": "echo broken; exit 3"}),
            ("memory_skill", {**share, "check": "test -e ../../../here && grep -q x tool.py"}),
            ("memory_skill", {"load": "0"}),
            ("bash", {"command": "rm here"}),
            ("memory_skill", {"load": "0"}),
            ("bash", {"command": "ls .harness/skills"}),
        ),
        DONE,
        DONE,
        DONE,
    ]
    _, broken, shared, loaded, _, refused, left = (
        await play(tmp_path / "run", provider, script)
    ).results
    assert "fails here (exit code 3)" in broken
    assert "broken" in broken
    assert shared == "Shared as 00000000: tool.py."
    assert "in .harness/skills/00000000: tool.py" in loaded
    assert "fails here (exit code 1)" in refused
    assert "00000000" not in left


def test_schemas_are_plain_and_whole() -> None:
    schemas = tool_schemas()
    assert [schema["function"]["name"] for schema in schemas] == list(TOOLS)
    assert "$" not in str(schemas)
    assert "title'" not in str(schemas[1])
    studying = {schema["function"]["name"] for schema in tool_schemas(research=True)}
    assert set(TOOLS) - studying == {"submit", "results", "checkout"}
