"""A user's own templates are rendered with samples before a run starts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.agents.base import TaskView
from harness.agents.prompts.templates import (
    SUFFIX,
    TEMPLATE_ERRORS,
    broken,
    environment,
    own_templates,
)
from harness.attempt import Operator

Values = Mapping[str, Any]


def check_prompts(folders: Sequence[Path]) -> None:
    """Render every template in `folders` with samples.

    Those of other parts (`heartbeat_*`, `pipeline_*`) are compiled only: who uses them knows what
    they are given.

    Raises:
        ConfigurationError: A folder or a template that cannot be used; names it.
    """
    own = {
        name: path for folder in reversed(folders) for name, path in own_templates(folder).items()
    }
    templates = environment(tuple(folders))
    # All of ours, not only the overridden ones: a template may include another.
    for name in [*own, *_samples()]:
        path = own.get(name)
        try:
            template = templates.get_template(name + SUFFIX)
            for values in _samples().get(name, ()):
                template.render(**values)
        except TEMPLATE_ERRORS as error:
            culprit = path or _included(own, error) or Path(name + SUFFIX)
            raise broken(culprit, error) from error


def _included(own: Mapping[str, Path], error: Exception) -> Path | None:
    """The overriding template that an including one failed over, if the error names it."""
    name = str(getattr(error, "name", None) or "").removesuffix(SUFFIX)
    return own.get(name, next(iter(own.values()), None))


def _samples() -> dict[str, list[Values]]:
    informed = TaskView(
        name="task",
        description="Make it better.",
        direction="maximize",
        baseline=1.0,
        best_known=2.0,
        kind="answer",
        produce=("python", "solve.py"),
        outputs=("out.json",),
        timeout_s=60.0,
        submission=("**",),
        knowledge="/knowledge",
    )
    informed = replace(informed, hosts=("index.example.org",), sample=("python", "solve.py", "/s"))
    bare = replace(informed, hosts=(), sample=(), baseline=None, best_known=None, knowledge=None)
    kinds = [
        replace(informed, kind=kind, outputs=(), produce=produce)
        for kind, produce in (
            ("serve", informed.produce),
            ("repository", ("make",)),
            ("repository", ()),
            ("one_phase", ()),
            ("command", informed.produce),
        )
    ]
    tasks = [informed, bare, *kinds]
    systems = [
        {"agent": "agent-1", "task": task, "workdir": "/work", "command_timeout_s": 60.0}
        for task in tasks
    ]
    filled, blank = _openings()
    summary: dict[str, Any] = {
        "own": True,
        "words": "words",
        "attempts": ["attempt 1"],
        "earlier": ["attempt 0"],
        "notes": ["a note"],
        "decisions": ["a decision"],
        "standing": "1 attempt",
    }
    plain = summary | {"own": False, "words": ""}
    plain |= {key: [] for key in ("attempts", "earlier", "notes", "decisions")}
    directives = [
        each | {"operator": operator.value} for each in (filled, blank) for operator in Operator
    ]
    return {
        "system": list(systems),
        "directive": list(directives),
        "research": [filled, blank],
        **{f"operator_{operator.value}": list(directives) for operator in Operator},
        "compaction_system": [{"agent": "agent-1", "task": task} for task in tasks],
        "distil": [{"task": task, "most": 5, "attempts": "1: improve"} for task in tasks[:1]],
        "compaction": [{"turns": "turns", "standing": "1 attempt"}],
        "summary": [summary, summary | {"own": False}, plain],
    }


def _openings() -> tuple[dict[str, Any], dict[str, Any]]:
    """What opens a directive or the research, with everything and with little."""
    filled: dict[str, Any] = {
        "number": 1,
        "reason": "a reason",
        "base": {"id": "1", "summary": "a summary", "feedback": "feedback"},
        "references": [{"id": "2", "summary": "a summary"}],
        "recalled": "records",
        "scale": "higher is better",
        "standing": "1 attempt",
        "role": "a role",
        "focus": "a focus",
        "team": "a team",
        "budget": "5 evaluations",
        "max_turns": 40,
        "turns": 10,
        "knowledge": "/knowledge",
    }
    blank: dict[str, Any] = dict(filled)
    blank |= dict.fromkeys(("recalled", "role", "focus", "team", "budget"), "")
    blank |= {"base": {**filled["base"], "feedback": ""}, "references": (), "knowledge": None}
    return filled, blank
