"""Behaviours of the scripted endpoint: functions of the request alone, so they need no state.

They stand in for a model where a whole run is tried without one; they know the tools, no task.
"""

import json
import re
import zlib
from collections.abc import Mapping

from harness.testing.endpoint import Behaviour, JsonObject, Reply, Request, text, tool_call
from harness.testing.pipeline_behaviour import pipeline
from harness.testing.team_behaviour import team
from harness.testing.troubles import without_tools

FACTORS = (1.2, 1.1, 1.05, 1.02, 1.01, 1.003, 0.99)
"""What `improver` multiplies by, in turn."""

_SCALE = r"""
import pathlib, re, sys
factor = float(sys.argv[1])
number = r"[-+]?\d+\.\d*(?:[eE][-+]?\d+)?"
row = re.compile(r"([(\[]\s*(?:[-+]?[\d.eE+-]+\s*,\s*)+)(" + number + r")(\s*,?\s*[)\]])")
changed = 0
for path in sorted(pathlib.Path(".").rglob("*.py")):
    source = path.read_text(encoding="utf-8")
    edited, count = row.subn(
        lambda found: found[1] + repr(float(found[2]) * factor) + found[3], source
    )
    if count:
        path.write_text(edited, encoding="utf-8")
        changed += count
print(f"scaled the last number of {changed} rows by {factor}")
""".strip()


def _directive(messages: list[JsonObject]) -> tuple[int, list[JsonObject]]:
    """How many directives the messages hold, and what came after the last one.

    Heartbeats and reminders are user messages too: a directive is told by its heading.
    """
    starts = [
        index
        for index, message in enumerate(messages)
        if message["role"] == "user" and str(message["content"]).startswith("# Directive")
    ]
    return len(starts), messages[starts[-1] + 1 :] if starts else []


def improver(request: Request) -> Reply:
    """Scales the last column of literal tables of numbers in the workspace, then submits.

    One directive: `bash ls`, `bash` (the scaling), `submit`, `memory_note`, an answer in words.
    """
    count, since = _directive(request.messages)
    done = sum(message["role"] == "assistant" for message in since)
    salt = zlib.crc32(str(request.messages[0]["content"]).encode())  # differs between agents
    factor = FACTORS[(count + salt) % len(FACTORS)]
    if done == 0:
        return tool_call("bash", command="ls")
    if done == 1:
        return tool_call("bash", command=f"python3 - {factor} <<'EOF'\n{_SCALE}\nEOF")
    if done == 2:
        return tool_call("submit", title=f"scale the last column by {factor}")
    if done == 3:
        result = str(since[-1].get("content", ""))[:300]
        return tool_call("memory_note", title=f"factor {factor}", text=result or "no answer")
    return text(f"Tried the factor {factor}.")


_AGENT = re.compile(r"^You are (agent-\d+)", re.MULTILINE)
_NUMBER = re.compile(r"^# Directive (\d+):", re.MULTILINE)


def stamp(request: Request) -> str:
    """Whose request it is and in which directive: `agent-1-directive-7`; empty outside of any."""
    agent = _AGENT.search(str(request.messages[0]["content"]))
    numbers = [
        number
        for message in request.messages
        if message["role"] == "user"
        for number in _NUMBER.findall(str(message["content"]))
    ]
    return f"{agent[1]}-directive-{numbers[-1]}" if agent and numbers else ""


def _is_turn(message: JsonObject) -> bool:
    """Whether it is an answer of the model, or a directive."""
    directive = message["role"] == "user" and _NUMBER.search(str(message["content"]))
    return message["role"] == "assistant" or bool(directive)


def stamping(extra: str = "true") -> Behaviour:
    """Writes its stamp to a file, submits, notes it, ends the directive: no tree comes twice.

    Each step follows from the last call in the conversation, so turns may be removed from it.

    Args:
        extra: A shell command that is run with the first step; `STAMP` in it is replaced.
    """

    def stamper(request: Request) -> Reply:
        tag = stamp(request)
        turns = [message for message in request.messages if _is_turn(message)]
        calls: list[JsonObject] = turns[-1].get("tool_calls") or [] if turns else []
        match calls[-1]["function"]["name"] if calls else "":
            case "bash":
                return tool_call("submit", title=tag)
            case "submit":
                return tool_call("memory_note", title=tag, text="It was submitted.")
            case "memory_note":
                return text(f"{tag} is done.")
            case _:
                write = f"echo 'STAMP = \"{tag}\"' > stamp.py"
                return tool_call("bash", command=f"{write}; {extra.replace('STAMP', tag)}")

    return stamper


def idle(request: Request) -> Reply:
    """Never calls a tool."""
    return text("I have nothing to do.")


def echo(request: Request) -> Reply:
    """Answers with the last message."""
    return text(json.dumps(request.messages[-1]) if request.messages else "")


BEHAVIOURS: Mapping[str, Behaviour] = {
    "improver": improver,
    "improver-text": without_tools(improver),
    "pipeline": pipeline,
    "stamper": stamping(),
    "team": team,
    "idle": idle,
    "echo": echo,
}
"""By the name that `python -m harness.testing.endpoint --behaviour` takes."""
