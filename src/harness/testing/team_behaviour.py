"""A behaviour of the scripted endpoint for a team of `llm` agents on `circle_packing`.

A function of the request alone. It makes every change with `write`, `edit` or `bash`, in turn, uses
every other tool on the way, and is stuck by itself: each change grows one radius a little. It
changes course only when an intervention is among the messages it gets: from then on the row it
changes says of which rules it heard, and only after a pivot it grows all radii at once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.testing.endpoint import Call, JsonObject, Reply, Request, slow, text, tool_calls

COURSE = "# course:"
"""What follows in the row that was changed are the rules that its maker had heard of."""
LANE = "small steps of single radii"
"""What everybody claims until told to diversify."""
STALL_S = 8.0
"""So long one agent of four waits once for a job that does not end, if nothing cuts it short."""
THINKING_S = 0.2
"""How long an answer takes: others must still be at work when the one that waits has stalled."""
WIDE = 1.25
"""What all radii are multiplied by after a pivot."""

_JOB_IN = 2
"""Of an agent's directives the one with a background job."""
_STEADY = 1.00001
_ROOM = 0.079
_FILE = "solve.py"
_MODES = ("write", "edit", "bash")
_AGENT = re.compile(r"^You are agent-(\d+)", re.MULTILINE)
_DIRECTIVE = re.compile(r"^# Directive (\d+): (\w+)", re.MULTILINE)
_BASE = re.compile(r"^## Base: attempt (\d+)", re.MULTILINE)
_HEARD = re.compile(r"^\[heartbeat: (\w+)\]$", re.MULTILINE)
_KEY = re.compile(r"whose title begins with `([\w-]+)`")
_ROW = re.compile(r"\[(\d\.\d+), (\d\.\d+), (\d\.\d+)\],(?:  # .*)?")
_READ = re.compile(r" +1\t")
_OWN = re.compile(r"^Attempt (\d+)(?:: scored| is recorded)", re.MULTILINE)
_HEAD = '"""Circles [x, y, r] in the unit square."""\n\nimport json\n\nCIRCLES = [\n'
_TAIL = (
    ']\n\nwith open("circles.json", "w", encoding="utf-8") as file:\n    json.dump(CIRCLES, file)\n'
)


@dataclass(frozen=True, slots=True)
class _Talk:
    """What a conversation says."""

    agent: int
    directive: int
    place: int
    """Directives so far."""
    base: str
    rules: Sequence[str]
    """Those heard of, sorted."""
    keys: Sequence[str]
    """Of notes that were asked for."""
    own: str
    """The newest of the agent's own attempts; empty before the first."""
    titles: frozenset[str]
    """Of the notes written so far."""
    steps: int
    """Answers since the directive, those to interventions left out."""
    rows: Sequence[str]
    """The table, as it was read last."""


def team(request: Request) -> Reply:
    """Answers what was heard first, then the next step of the directive."""
    return slow(THINKING_S, _reply(request))


def _reply(request: Request) -> Reply:
    talk = _understand(request.messages)
    if talk.place == 0:
        return text("I wait for a directive.")
    calls = _answers(talk)
    if calls:
        return tool_calls(*calls, content="I was told something.")
    plan = _plan(talk)
    return tool_calls(*plan[talk.steps]) if talk.steps < len(plan) else text("This step is done.")


def _understand(messages: Sequence[JsonObject]) -> _Talk:
    said = [str(each.get("content") or "") for each in messages]
    told = [words for each, words in zip(messages, said, strict=True) if each["role"] == "user"]
    starts = [
        i
        for i, each in enumerate(messages)
        if each["role"] == "user" and _DIRECTIVE.search(said[i])
    ]
    start = starts[-1] if starts else len(messages)
    results = [words for each, words in zip(messages, said, strict=True) if each["role"] == "tool"]
    headings = _DIRECTIVE.findall(said[start]) if starts else []
    tables = [_rows(words) for words in results if _READ.match(words)]
    agent = _AGENT.search(said[0])
    return _Talk(
        agent=int(agent[1]) if agent else 0,
        directive=int(headings[-1][0]) if headings else 0,
        place=len(starts),
        base=(_BASE.findall(said[start]) or ["0"])[-1] if starts else "0",
        rules=sorted({rule for words in told for rule in _HEARD.findall(words)}),
        keys=[key for words in told for key in _KEY.findall(words)],
        own=([""] + [number for words in results for number in _OWN.findall(words)])[-1],
        titles=frozenset(re.findall(r'"title": "([^"]*)"', " ".join(_written(messages)))),
        steps=sum(each["role"] == "assistant" for each in messages[start:])
        - sum(str(each.get("content")).startswith("I was told") for each in messages[start:]),
        rows=tables[-1] if tables else (),
    )


def _rows(words: str) -> list[str]:
    return [found[0] for found in _ROW.finditer(words)]


def _called(messages: Sequence[JsonObject]) -> list[tuple[str, str]]:
    calls = [call["function"] for each in messages for call in each.get("tool_calls") or ()]
    return [(call["name"], call["arguments"]) for call in calls]


def _written(messages: Sequence[JsonObject]) -> list[str]:
    return [arguments for name, arguments in _called(messages) if name == "memory_note"]


def _answers(talk: _Talk) -> list[Call]:
    """What is done at once about what was heard: a note on each, a search, another lane."""
    wanted = [f"{key}: agent-{talk.agent % 4 + 1} takes larger steps" for key in talk.keys]
    wanted += [f"after {rule} by agent-{talk.agent}" for rule in talk.rules]
    missing = [title for title in wanted if title not in talk.titles]
    calls: list[Call] = []
    if any("consolidate" in title or "lint" in title for title in missing):
        calls.append(("memory_search", {"query": "notes on radii"}))
    if any("diversify" in title for title in missing):
        calls.append(("focus", {"focus": f"the lane of agent-{talk.agent}"}))
    notes = [("memory_note", {"title": title, "text": "Small steps bring little."})
             for title in missing]  # fmt: skip
    return [*calls, *notes]


def _plan(talk: _Talk) -> list[list[Call]]:
    """The answers of one directive."""
    lane = f"the lane of agent-{talk.agent}" if "diversify" in talk.rules else LANE
    look: list[Call] = [
        ("focus", {"focus": lane}),
        ("board", {}),
        ("memory_search", {"query": "larger radii"}),
        ("read", {"path": _FILE}),
    ]
    if talk.steps == 0:
        return [look]
    mode = "write" if _widens(talk) else _MODES[(talk.place - 1) % len(_MODES)]
    makers = {"write": _by_write, "edit": _by_edit, "bash": _by_bash}
    job = _job(talk) if talk.place == _JOB_IN else []
    return [look, *job, *makers[mode](talk, f"{mode} in directive {talk.directive}")]


def _by_write(talk: _Talk, title: str) -> list[list[Call]]:
    content = _HEAD + "".join(f"    {row}\n" for row in _changed(talk)) + _TAIL
    return [
        [
            ("write", {"path": _FILE, "content": content}),
            ("try", {"command": "python solve.py && wc -c circles.json"}),
        ],
        [("submit", {"title": title})],
        [
            ("show_attempt", {"attempt": talk.own or "0"}),
            ("memory_note", {"title": title, "text": f"Attempt {talk.own} grew all radii."}),
        ],
    ]


def _by_edit(talk: _Talk, title: str) -> list[list[Call]]:
    old, new = _one_row(talk)
    skill: Call = (
        "memory_skill",
        {"title": title, "text": "A table of circles to start from.", "paths": [_FILE]},
    )
    return [
        [("edit", {"path": _FILE, "search": old, "replace": new}), ("diff", {})],
        [("submit", {"title": title}), skill],
    ]


def _by_bash(talk: _Talk, title: str) -> list[list[Call]]:
    old, new = _one_row(talk)
    script = f"path = '{_FILE}'; old = {old!r}; new = {new!r}"
    script += "; text = open(path).read(); assert old in text"
    script += "; open(path, 'w').write(text.replace(old, new))"
    command = f"python3 - <<'EOF'\n{script}\nEOF"
    return [
        [("checkout", {"attempt": talk.own or "0"}), ("checkout", {"attempt": talk.base})],
        [("bash", {"command": command}), ("bash", {"command": f"grep -c . {_FILE}"})],
        [("submit", {"title": title, "wait": False})],
        [("board", {}), ("results", {"wait": True})],
    ]


def _job(talk: _Talk) -> list[list[Call]]:
    """A background job; that of the fourth agent does not end while it waits."""
    stalls = talk.agent % 4 == 0
    wait: Call = ("jobs", {"action": "wait", "name": "probe", "timeout_s": STALL_S})
    return [
        [("bash", {"command": "sleep 600" if stalls else "echo up", "background": "probe"})],
        [wait],
        [("jobs", {"action": "stop", "name": "probe"})],
    ]


def _changed(talk: _Talk) -> list[str]:
    """The table with all radii grown, the agent's own row a little more."""
    factor = WIDE if _widens(talk) else _STEADY
    index = _index(talk)
    return [_grown(row, factor, talk if at == index else None) for at, row in enumerate(talk.rows)]


def _one_row(talk: _Talk) -> tuple[str, str]:
    """A row of the table, and what it becomes."""
    row = talk.rows[_index(talk)] if talk.rows else ""
    return row, _grown(row, 1.0, talk)


def _index(talk: _Talk) -> int:
    return (7 * talk.directive + talk.agent) % max(1, len(talk.rows))


def _grown(row: str, factor: float, talk: _Talk | None) -> str:
    found = _ROW.match(row)
    if found is None:
        return row
    radius = float(found[3]) * factor
    note = ""
    if talk is not None:
        radius += 1e-4 + talk.directive * 1e-6  # no two directives make the same tree
        note = f"  {COURSE} {' '.join(talk.rules)}" if talk.rules else ""
    return f"[{found[1]}, {found[2]}, {radius:.8f}],{note}"


def _widens(talk: _Talk) -> bool:
    """Whether it takes the large step: told to, and there is room."""
    radii = [float(found[3]) for row in talk.rows if (found := _ROW.match(row))]
    return "pivot" in talk.rules and bool(radii) and max(radii) * WIDE < _ROOM
