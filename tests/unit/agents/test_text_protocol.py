"""Tools in words: what a model is told, and what its answers are taken for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.conversation import INVALID_ARGUMENTS
from harness.agents.text_protocol import action, parse, problem_of, render, without_system


def tool(name: str, required: list[str], **properties: str) -> dict[str, Any]:
    about = {key: {"type": kind, "description": f"The {key}."} for key, kind in properties.items()}
    parameters = {"type": "object", "properties": about, "required": required}
    return {
        "type": "function",
        "function": {"name": name, "description": f"Does {name}.", "parameters": parameters},
    }


TOOLS = [
    tool("bash", ["command"], command="string", timeout_s="number"),
    tool("write", ["path", "content"], path="string", content="string"),
    tool("submit", ["title"], title="string", wait="boolean", tags="array"),
]


def called(content: str, *, cut_off: bool = False) -> tuple[str, dict[str, Any]]:
    message = parse(content, TOOLS, cut_off=cut_off)
    (call,) = message["tool_calls"]
    return call["function"]["name"], json.loads(call["function"]["arguments"])


def problem(content: str, *, cut_off: bool = False) -> str:
    message = parse(content, TOOLS, cut_off=cut_off)
    said = problem_of(message["tool_calls"][0]["function"]["arguments"])
    assert said is not None
    return said


def test_an_action_with_code_as_it_is() -> None:
    code = (
        'def f(a="x\\n"):\n    """Doc\n\n    ```python\n    f()\n    ```\n    """\n    return a\n'
    )
    block = f"```action write\n=== path ===\na.py\n=== content ===\n{code}=== end ===\n```"
    content = f"I write it.\n\n{block}"
    message = parse(content, TOOLS)
    assert message["content"] == "I write it."
    assert called(content) == ("write", {"path": "a.py", "content": code})


@pytest.mark.parametrize(
    "content",
    [
        "```action bash\n=== command ===\nls\n=== end ===\n```",
        "```action bash\n=== command ===\nls\n```",
        "```action bash\n=== command ===\nls\n=== end ===",
        "```action bash\n=== command ===\nls",
        "```action bash\n=== command === ls\n```",
        "```action: bash\n=== command ===\nls\n```",
        "```action\nbash\n=== command ===\nls\n```",
        "```action\ntool: bash\n=== command ===\nls\n```",
        "```action bash\nls\n```",
        "~~~ action bash\n=== command ===\nls\n~~~",
        '```action\n{"tool": "bash", "arguments": {"command": "ls"}}\n```',
        '```action bash\n{"command": "ls"}\n```',
        "```action bash\n=== command ===\nls\n=== end ===\n```\nResult of `bash`:\nmade up",
        "```action bash\n=== command ===\nls\n=== end ===\n```\n```action bash\nrm\n```",
        "```action bash\n=== command ===\nls\n```\n\n```action write\n=== path ===\nx\n=== end ===",
    ],
)
def test_what_weak_models_write_is_understood(content: str) -> None:
    assert called(content) == ("bash", {"command": "ls"})


def test_search_and_replace_blocks_and_diffs_are_content() -> None:
    block = "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n--- a/x\n+++ b/x\n=== Results ===\n"
    content = f"```action write\n=== path ===\nx\n=== content ===\n{block}=== end ===\n```"
    assert called(content)[1]["content"] == block


def test_values_have_the_types_of_the_tool() -> None:
    content = (
        "```action submit\n=== title ===\n 12 \n=== wait ===\nno\n=== tags ===\n"
        '["a"]\n=== end ===\n```'
    )
    assert called(content) == ("submit", {"title": "12", "wait": False, "tags": ["a"]})
    timed = "```action bash\n=== command ===\nls\n=== timeout_s ===\n2.5\n=== end ===\n```"
    assert called(timed)[1]["timeout_s"] == 2.5
    odd = "```action bash\n=== command ===\nls\n=== timeout_s ===\nsoon\n=== end ===\n```"
    assert called(odd)[1]["timeout_s"] == "soon", "the tool says what is wrong with it"


def test_an_answer_without_an_action_is_words() -> None:
    for content in ("Done.", "```python\nprint(1)\n```", "The action was: bash"):
        message = parse(content, TOOLS)
        assert message == {"role": "assistant", "content": content}


def test_what_cannot_be_read_says_how_to_write_it() -> None:
    assert "no tool `rm`" in problem("```action rm\n=== command ===\nls\n```")
    assert "`bash`, `write`, `submit`" in problem("```action\n=== command ===\nls\n```")
    stray = problem("```action write\nx.py\n=== content ===\na\n```")
    assert "x.py" in stray
    assert "=== path ===" in stray
    assert "cut off" in problem(
        "```action write\n=== path ===\nx\n=== content ===\na", cut_off=True
    )
    name, _ = called("```action write\nx.py\n=== content ===\na\n```")
    assert name == "write"


def test_a_problem_is_told_apart_from_arguments_that_speak_of_one() -> None:
    assert problem_of('{"command": "grep problem_with_the_action ."}') is None
    assert problem_of('{"command": "ls"}') is None


def test_the_conversation_in_plain_text() -> None:
    call = {"id": "1", "function": {"name": "bash", "arguments": '{"command": "ls\\npwd"}'}}
    broken = {
        "id": "2",
        "function": {"name": "bash", "arguments": json.dumps({INVALID_ARGUMENTS: "{half"})},
    }
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are."},
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "a.py"},
        {"role": "user", "content": "Hurry."},
        {"role": "assistant", "content": None, "tool_calls": [broken]},
        {"role": "tool", "tool_call_id": "2", "content": "Error: no"},
    ]
    sent = render(messages, TOOLS)
    assert [message["role"] for message in sent] == ["system", *["user", "assistant"] * 2, "user"]
    assert sent[0]["content"].startswith("You are.")
    for name in ("bash", "write", "submit"):
        assert f"- `{name}`: Does {name}." in sent[0]["content"]
    assert "`timeout_s` (number, optional): The timeout_s." in sent[0]["content"]
    assert sent[2]["content"] == (
        "I look.\n\n```action bash\n=== command ===\nls\npwd\n=== end ===\n```"
    )
    assert sent[3]["content"] == "Result of `bash`:\na.py\n\nHurry."
    assert sent[4]["content"] == "{half"
    assert all(set(message) == {"role", "content"} for message in sent)
    folded = render(messages, TOOLS, system=False)
    assert folded[0]["role"] == "user"
    assert folded[0]["content"].endswith("Go.")
    assert folded[1:] == sent[2:]
    assert "How to use tools" not in render(messages, [])[0]["content"]
    assert without_system(messages)[0] == {"role": "user", "content": "You are.\n\nGo."}
    assert without_system(messages)[1:] == messages[2:]


def test_the_worked_example_is_a_valid_action() -> None:
    (system, _) = render([{"role": "user", "content": "Go."}], TOOLS)
    assert called(system["content"])[0] == "bash"


code_lines = [
    "",
    "x = 1",
    "    pass",
    "```",
    "```python",
    "=======",
    "=== Results ===",
    "<<<< SEARCH",
]
code_lines += ["--- a", "@@ -1 @@", "EOF", '"quoted\\n"', "~~~", "é ü", "=== end", "== path =="]
lines = st.lists(st.sampled_from(code_lines), min_size=2, max_size=12).map(
    lambda each: "\n".join(each) + "\n"
)


@given(lines, st.sampled_from(["a.py", "dir/b c.txt"]))
def test_any_code_comes_back_as_it_was(code: str, path: str) -> None:
    if not code.strip("\n").count("\n"):
        code += "last line\nand one\n"
    content = f"Said.\n\n{action('write', {'path': path, 'content': code})}\n\nAnd more."
    assert called(content) == ("write", {"path": path, "content": code})


@given(st.text(alphabet="`~=action bshcomdwe\n{}:\"'ⁿ", max_size=120), st.booleans())
def test_no_answer_can_break_it(content: str, cut_off: bool) -> None:
    message = parse(f"```action {content}", TOOLS, cut_off=cut_off)
    for call in message.get("tool_calls", ()):
        assert isinstance(json.loads(call["function"]["arguments"]), dict)
    rendered = render([{"role": "user", "content": "Go."}, message], TOOLS)
    assert rendered[-1]["role"] == "assistant"
    assert rendered[-1]["content"]
