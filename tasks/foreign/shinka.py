"""ShinkaEvolve's tasks: `initial.*` and `evaluate.py`. Source: ShinkaEvolve 0.0.7."""

import ast
import json
import re
from pathlib import Path
from typing import Any

from harness.tasks.editable import has_blocks
from harness.tasks.foreign.base import OPTIONS, Native, Source, adapter, below, task_name, tree
from harness.tasks.foreign.config import Keys, read_yaml
from harness.tasks.foreign.requirements import declared, imported, merged

EVALUATOR = "evaluate.py"
RUNNER = "run_evo.py"
TIMEOUT_S = 600.0
"""ShinkaEvolve itself has no limit unless the job names one."""
OUTPUTS = frozenset({"results"})
SUFFIXES = frozenset({
    ".py", ".go", ".sv", ".jl", ".rs", ".cpp", ".cc", ".cxx", ".cu", ".c", ".swift", ".json",
    ".f90", ".wl", ".js", ".ts", ".txt",
})  # fmt: skip


class ShinkaFormat:
    """A folder with `evaluate.py` and one program `initial.*`."""

    name = "shinka"

    def recognises(self, folder: Path) -> bool:
        return (folder / EVALUATOR).is_file() and bool(_programs(folder))

    def convert(self, folder: Path) -> Native:
        program = _programs(folder)[0]
        message, timeout = _of_runner(folder)
        configs = sorted(folder.glob("shinka*.yaml"))
        budget, notes = 100, list[str]()
        if configs:
            keys = Keys(read_yaml(configs[0]), configs[0])
            evolution = keys.section("evo_config")
            budget = int(evolution.number("num_generations", budget))
            message = message or evolution.text("task_sys_msg")
            others = [key for key in keys.unknown() if key != "evo_config.task_sys_msg"]
            if others:
                notes.append(f"{configs[0].name}: how ShinkaEvolve searches means nothing here: "
                             f"{', '.join(others)}")  # fmt: skip
        files: dict[str, Source] = dict(tree(folder, skip=OUTPUTS))
        packages, more = _requirements(folder, files)
        options: dict[str, Any] = {"evaluator": EVALUATOR, "program": program.name, "arguments": []}
        text = message.strip() or "Improve the program."
        file: dict[str, Any] = {
            "name": task_name(folder.resolve().name),
            "description": f"{text}\n\nThe solution is the file `{program.name}`. The evaluator is "
            "given that file alone; a higher score is better.",
            "direction": "maximize",
            "submission": {
                "include": [f"/{program.name}"],
                "blocks": has_blocks(program.read_bytes()),
            },
            "evaluator": {
                "kind": "one_phase",
                "judge": "harness_shinka.py:judge",
                "timeout_s": timeout,
            },
            "environment": {"python": packages},
            "budget": {"evaluations": budget + 1},
        }
        return Native(
            file,
            seed={program.name: program},
            evaluator={
                **adapter("harness_shinka.py", "shinka"),
                OPTIONS: json.dumps(options, indent=2).encode(),
                **below("task", files),
            },
            notes=(*notes, *more),
        )


def _programs(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob("initial.*") if path.is_file())
    return [path for path in found if path.suffix in SUFFIXES]


def _requirements(folder: Path, files: dict[str, Source]) -> tuple[list[str], list[str]]:
    listed, notes = ([], list[str]())
    if (folder / "requirements.txt").is_file():
        listed, notes = declared(folder / "requirements.txt")
    used = [
        path
        for name, path in files.items()
        if isinstance(path, Path) and name.endswith(".py") and name != RUNNER and "/" not in name
    ]
    return merged(listed, imported(used)), notes


def _of_runner(folder: Path) -> tuple[str, float]:
    """The task's text and limit that `run_evo.py` names as plain literals; it is not run."""
    path = folder / RUNNER
    message, timeout = "", TIMEOUT_S
    if not path.is_file():
        return message, timeout
    try:
        parsed = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return message, timeout
    for node in ast.walk(parsed):
        named = _named(node)
        if named is None:
            continue
        name, value = named
        if name.endswith("task_sys_msg") and not message:
            message = value
        if name == "time" and (clock := re.fullmatch(r"(\d+):(\d\d):(\d\d)", value)):
            hours, minutes, seconds = map(int, clock.groups())
            timeout = float(hours * 3600 + minutes * 60 + seconds) or TIMEOUT_S
    return message, timeout


def _named(node: ast.AST) -> tuple[str, str] | None:
    """Name and text of an assignment or a keyword argument."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value))):
            return name, value
        case ast.keyword(arg=str(name), value=ast.Constant(value=str(value))):
            return name, value
        case _:
            return None
