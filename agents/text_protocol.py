"""Tools for models that cannot call them: described in words, called by one fenced block a turn.

    I look at the solver first.

    ```action bash
    === command ===
    sed -n 1,40p solver.py
    === timeout_s ===
    20
    === end ===
    ```

Why this form. Code goes in as it is: weak models get the escaping of JSON strings wrong as soon as
an argument has lines, quotes or backslashes. A line with a name opens each argument, so order and
length do not matter. `=== name ===` with the name of an argument of that tool is a line that code,
diffs and SEARCH/REPLACE blocks do not contain, unlike `---`, `@@`, `<<<<` or a lone fence; anything
else between two such lines belongs to the argument, fences included. The end line makes the block
readable when its content has unbalanced fences; where a model leaves it out, the fence that
balances the first one ends the block.

The conversation itself stays in the tool format (it is what checkpoints hold, and the model may be
changed in mid-run): `render` makes the text that is sent, `parse` turns the answer back.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from harness.agents.answers import NO_ANSWER, new_call_id
from harness.agents.conversation import INVALID_ARGUMENTS

JsonObject = dict[str, Any]

PROBLEM = "problem_with_the_action"
"""Key of a call's arguments that says why the action could not be read; the tool is not run."""

_OPENING = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*action\b[ \t:]*(\S*)[ \t]*$", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*(\S*)[ \t]*$")
_MARK = re.compile(r"^[ \t]*={3,}[ \t]*([A-Za-z_]\w*)[ \t]*={3,}[ \t]*(.*?)[ \t]*$")
_END = "end"
_SHOWN_CHARACTERS = 400
_START = "Go on."
_HOW = """\
# How to use tools

You act by writing one action, a fenced block like this:

{example}

After the word `action` comes the name of the tool. A line `=== name ===` begins each argument; \
what follows, down to the next such line, is its value exactly as written, over as many lines as \
you like. No quoting and no escaping. `=== end ===` and the fence close the action.

Write at most one action in an answer and nothing after it: its result is in the next message. \
Never write a result yourself. An answer without an action means that you are done.

The tools:

{tools}
"""


@dataclass(frozen=True, slots=True)
class _Action:
    """Where an action is in an answer, and what is in it."""

    before: str
    name: str
    lines: tuple[str, ...]
    closed: bool


def render(
    messages: Sequence[JsonObject], tools: Sequence[JsonObject], *, system: bool = True
) -> list[JsonObject]:
    """The conversation in plain text, user and assistant in turn.

    Args:
        messages: In the tool format.
        tools: Described in the system message; none: nothing is added.
        system: Whether the model takes a system message; else it opens the first of the user.
    """
    head = [str(m["content"]) for m in messages if m["role"] == "system"]
    if tools:
        head.append(_HOW.format(example=_example(tools), tools="\n".join(map(_described, tools))))
    names: dict[str, str] = {}
    turns: list[tuple[str, str]] = []
    for message in messages:
        if message["role"] == "system":
            continue
        if message["role"] == "assistant":
            turns.append(("assistant", _assistant(message, names)))
        elif message["role"] == "tool":
            name = names.get(str(message.get("tool_call_id")), "the action")
            turns.append(("user", f"Result of {name}:\n{message['content']}"))
        else:
            turns.append(("user", str(message["content"])))
    if not turns or turns[0][0] == "assistant":
        turns.insert(0, ("user", _START))
    if head and not system:
        turns[0] = ("user", "\n\n".join([*head, turns[0][1]]))
        head = []
    merged: list[JsonObject] = [{"role": "system", "content": "\n\n".join(head)}] if head else []
    for role, content in turns:
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += f"\n\n{content}"
        else:
            merged.append({"role": role, "content": content})
    return merged


def without_system(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """`messages` in the tool format, the system's put at the head of the user's first."""
    head = [str(m["content"]) for m in messages if m["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    if rest and rest[0]["role"] == "user":
        head.append(str(rest.pop(0)["content"]))
    return [{"role": "user", "content": "\n\n".join(head)}, *rest] if head else rest


def _assistant(message: JsonObject, names: dict[str, str]) -> str:
    parts = [str(message["content"])] if message.get("content") else []
    for call in message.get("tool_calls", ()):
        names[call["id"]] = f"`{call['function']['name']}`"
        parts.append(action(call["function"]["name"], call["function"]["arguments"]))
    return "\n\n".join(parts) or NO_ANSWER


def action(name: str, arguments: str | Mapping[str, Any]) -> str:
    """A tool call as a model would write it."""
    try:
        given: object = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        given = {}
    values: Mapping[str, Any] = {}
    if isinstance(given, Mapping):
        values = cast("Mapping[str, Any]", given)
    if INVALID_ARGUMENTS in values:
        return str(values[INVALID_ARGUMENTS])
    lines = [f"```action {name}"]
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines += [f"=== {key} ===", text.removesuffix("\n")]
    return "\n".join([*lines, f"=== {_END} ===", "```"])


def _example(tools: Sequence[JsonObject]) -> str:
    function = tools[0]["function"]
    schema = cast(JsonObject, function.get("parameters") or {})
    properties = cast(JsonObject, schema.get("properties") or {})
    wanted = list(schema.get("required") or properties)[:2]
    values = {name: _sample(name, properties.get(name) or {}) for name in wanted}
    return action(str(function["name"]), values)


def _sample(name: str, about: JsonObject) -> object:
    if name == "command":
        return "ls -la\ncat README.md"
    samples: dict[str, object] = {"integer": 1, "number": 1.5, "boolean": True, "array": []}
    return samples.get(str(about.get("type")), f"(the {name})")


def _described(tool: JsonObject) -> str:
    function = tool["function"]
    schema = cast(JsonObject, function.get("parameters") or {})
    required = set(cast("list[str]", schema.get("required") or ()))
    lines = [f"- `{function['name']}`: {function.get('description', '')}".rstrip()]
    for name, about in cast("dict[str, JsonObject]", schema.get("properties") or {}).items():
        kind = str(about.get("type", "JSON"))
        kind = "text" if kind == "string" else "JSON" if kind in ("object", "array") else kind
        notes = [kind, *([] if name in required else ["optional"])]
        if about.get("enum"):
            notes.append("one of " + ", ".join(map(str, about["enum"])))
        text = str(about.get("description", ""))
        lines.append(f"  - `{name}` ({', '.join(notes)}){': ' + text if text else ''}")
    return "\n".join(lines)


def parse(content: str, tools: Sequence[JsonObject], *, cut_off: bool = False) -> JsonObject:
    """The assistant's message in the tool format.

    An answer without an action is a message without a call. An action that cannot be read becomes
    a call whose arguments say what is wrong (`PROBLEM`). What follows the first action is dropped:
    models without tool calling like to invent its result.

    Args:
        content: The answer as it came.
        tools: What can be called.
        cut_off: Whether the answer ended at the length limit.
    """
    found = _find(content)
    if found is None:
        return {"role": "assistant", "content": content.strip() or NO_ANSWER}
    functions = {str(tool["function"]["name"]): tool["function"] for tool in tools}
    name, arguments, problem = _read(found, functions, cut_off=cut_off)
    if problem is not None:
        written = "\n".join([f"```action {found.name}".rstrip(), *found.lines])
        arguments = {INVALID_ARGUMENTS: written, PROBLEM: problem}
    call = {
        "id": new_call_id(),
        "type": "function",
        "function": {
            "name": name or "action",
            "arguments": json.dumps(arguments, ensure_ascii=False),
        },
    }
    return {"role": "assistant", "content": found.before.strip() or None, "tool_calls": [call]}


def problem_of(arguments: str) -> str | None:
    """What is wrong with an action that could not be read: to be told to the model."""
    if PROBLEM not in arguments:
        return None
    given = _as_json(arguments)
    return None if given is None or PROBLEM not in given else str(given[PROBLEM])


def _find(content: str) -> _Action | None:
    lines = content.split("\n")
    for index, line in enumerate(lines):
        opening = _OPENING.match(line)
        if opening is not None:
            inside, closed = _inside(lines[index + 1 :])
            return _Action("\n".join(lines[:index]), opening[2], tuple(inside), closed)
    return None


def _inside(lines: Sequence[str]) -> tuple[list[str], bool]:
    """The lines of the action whose opening was just read, and whether it is closed."""
    for index, line in enumerate(lines):
        mark = _MARK.match(line)
        if mark is not None and mark[1].lower() == _END:
            return list(lines[:index]), True
        if _OPENING.match(line):  # a second action, before the end of the first
            break
    depth = 1
    for index, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        depth += 1 if fence[2] else -1
        if depth == 0:
            return list(lines[:index]), True
    return list(lines), False


def _read(
    found: _Action, functions: Mapping[str, JsonObject], *, cut_off: bool
) -> tuple[str, JsonObject, str | None]:
    """The tool's name, its arguments, and what is wrong with them if something is."""
    lines = list(found.lines)
    while lines and not lines[0].strip():
        del lines[0]
    whole = _as_json("\n".join(lines))
    if whole is not None:
        return _from_json(found.name, whole)
    name = found.name.strip("`'\"")
    if not name and lines and _MARK.match(lines[0]) is None:
        name = lines.pop(0).strip().removeprefix("tool:").strip(" `'\"")
    if not found.closed and cut_off:
        return name, {}, _problem("the answer was cut off before the action ended", name, functions)
    if name not in functions:
        near = ", ".join(f"`{each}`" for each in functions)
        return name, {}, f"there is no tool `{name[:80]}`. The tools are: {near}"
    properties = _properties(functions[name])
    arguments: JsonObject = {}
    stray: list[str] = []
    for key, text in _sections(lines, properties):
        if key is None:
            stray += [line for line in text if line.strip()]
        else:
            arguments[key] = _value("\n".join(text), properties[key])
    if stray and not arguments and _only(functions[name]) is not None:
        arguments[str(_only(functions[name]))] = "\n".join(lines).strip("\n")
    elif stray:
        shown = " / ".join(stray)[:_SHOWN_CHARACTERS]
        wrong = f"this belongs to no argument: {shown}"
        return name, {}, _problem(wrong, name, functions)
    return name, arguments, None


def _problem(wrong: str, name: str, functions: Mapping[str, JsonObject]) -> str:
    """What is wrong, and how to write it."""
    function = functions.get(name)
    if function is None:
        return f"{wrong}. Write the action again, from ```action NAME to === end ===, and shorter."
    values = {key: f"({key})" for key in _properties(function)}
    return f"{wrong}. `{name}` is written like this:\n{action(name, values)}"


def _properties(function: JsonObject) -> dict[str, JsonObject]:
    schema = cast(JsonObject, function.get("parameters") or {})
    return cast("dict[str, JsonObject]", schema.get("properties") or {})


def _only(function: JsonObject) -> str | None:
    """The tool's only required argument: a block without any `=== name ===` is taken for it."""
    schema = cast(JsonObject, function.get("parameters") or {})
    required = cast("list[str]", schema.get("required") or [])
    return required[0] if len(required) == 1 else None


def _sections(
    lines: Sequence[str], properties: Mapping[str, JsonObject]
) -> Iterator[tuple[str | None, list[str]]]:
    """The lines before the first argument (None), then each argument's."""
    key: str | None = None
    block: list[str] = []
    for line in lines:
        mark = _MARK.match(line)
        if mark is not None and mark[1] in properties:
            yield key, block
            key, block = mark[1], [mark[2]] if mark[2] else []
        else:
            block.append(line)
    yield key, block


def _value(text: str, about: JsonObject) -> object:
    """An argument's text as what the tool wants; several lines keep their last break."""
    kind = about.get("type")
    if kind == "string":
        return f"{text}\n" if "\n" in text.strip("\n") else text.strip()
    bare = text.strip()
    if kind == "boolean" and bare.lower() in ("yes", "no"):
        return bare.lower() == "yes"
    try:
        return cast(object, json.loads(bare.lower() if kind == "boolean" else bare))
    except (ValueError, RecursionError):
        return bare


def _as_json(text: str) -> JsonObject | None:
    """An action written as a JSON object, as some models are trained to."""
    text = text.strip()
    if not text.startswith("{"):
        return None
    try:
        given: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast(JsonObject, given) if isinstance(given, dict) else None


def _from_json(name: str, given: JsonObject) -> tuple[str, JsonObject, str | None]:
    if name:
        return name, given, None
    named = given.get("tool") or given.get("name")
    arguments: object = given.get("arguments") or given.get("args") or {}
    if isinstance(named, str) and isinstance(arguments, dict):
        return named, cast(JsonObject, arguments), None
    return "", {}, "the action names no tool: write ```action NAME, then its arguments"
