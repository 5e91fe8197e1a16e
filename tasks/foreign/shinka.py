"""ShinkaEvolve's tasks: `initial.*` and `evaluate.py`. Source: ShinkaEvolve 0.0.7."""

import ast
import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from harness.errors import TaskError
from harness.tasks.editable import has_blocks
from harness.tasks.foreign.base import OPTIONS, Native, Source, adapter, below, task_name, tree
from harness.tasks.foreign.config import Keys, read_yaml
from harness.tasks.foreign.requirements import declared, imported, merged

EVALUATOR = "evaluate.py"
RUNNER = "run_evo.py"
TIMEOUT_S = 600.0
"""ShinkaEvolve itself has no limit unless the job names one."""
GENERATIONS = 100
OF_THE_TASK = ("task_sys_msg", "time", "num_generations", "init_program_path", "extra_cmd_args")
"""Keys that say what the task is; the others say how ShinkaEvolve searches."""
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
        values, notes = _configured(folder)
        program = _program(folder, values)
        timeout = _seconds(values.get("time")) or TIMEOUT_S
        budget = values.get("num_generations")
        files: dict[str, Source] = dict(tree(folder, skip=OUTPUTS))
        packages, more = _requirements(folder, files)
        given: Any = values.get("extra_cmd_args")
        pairs = cast(dict[str, Any], given) if isinstance(given, dict) else {}
        options: dict[str, Any] = {
            "evaluator": EVALUATOR,
            "program": program.name,
            "arguments": [
                word for key, value in pairs.items() for word in (f"--{key}", str(value))
            ],
        }
        text = str(values.get("task_sys_msg") or "").strip() or "Improve the program."
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
            "budget": {"evaluations": (budget if isinstance(budget, int) else GENERATIONS) + 1},
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
    listed, notes = list[str](), list[str]()
    if (folder / "requirements.txt").is_file():
        listed, notes = declared(folder / "requirements.txt")
    used = [
        path
        for name, path in files.items()
        if isinstance(path, Path) and name.endswith(".py") and name != RUNNER and "/" not in name
    ]
    return merged(listed, imported(used)), notes


def _program(folder: Path, values: Mapping[str, Any]) -> Path:
    programs = _programs(folder)
    named = [path for path in programs if path.name == values.get("init_program_path")]
    if len(programs) > 1 and not named:
        raise TaskError(
            f"{folder} has {len(programs)} files initial.*",
            expected="one program to begin with, or init_program_path in its configuration",
            action=f"keep one of {', '.join(path.name for path in programs)}",
        )
    return (named or programs)[0]


def _configured(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What is configured of the task itself, and notes on the rest.

    Raises:
        TaskError: A configuration file is none.
    """
    configs = sorted(folder.glob("shinka*.yaml"))
    if not configs:
        return _of_runner(folder), []
    keys = Keys(read_yaml(configs[0]), configs[0])
    sections = keys.section("evo_config"), keys.section("job_config")
    values = ((name, section.get(name)) for section in sections for name in OF_THE_TASK)
    found = {name: value for name, value in values if value is not None}
    notes = [f"{path.name} is passed over: {configs[0].name} is read" for path in configs[1:]]
    others = list(keys.unknown())
    if others:
        notes.append(
            f"{configs[0].name}: how ShinkaEvolve searches means nothing here: {', '.join(others)}"
        )
    return {**found, **_of_runner(folder)}, notes


def _of_runner(folder: Path) -> dict[str, Any]:
    """What `run_evo.py` names of the task as plain literals; it is not run."""
    path = folder / RUNNER
    if not path.is_file():
        return {}
    try:
        parsed = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return {}
    found: dict[str, Any] = {}
    for node in ast.walk(parsed):
        match node:
            case ast.Assign(targets=[ast.Name(id=str(name))], value=value):
                name = "task_sys_msg" if name.endswith("task_sys_msg") else ""
            case ast.keyword(arg=str(name), value=value):
                pass
            case _:
                continue
        if name in OF_THE_TASK and name not in found:
            with contextlib.suppress(ValueError):  # it is worked out as the program runs
                found[name] = ast.literal_eval(value)
    return found


def _seconds(clock: Any) -> float:
    """Of a text HH:MM:SS; 0 for anything else."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d)", clock) if isinstance(clock, str) else None
    if match is None:
        return 0.0
    hours, minutes, seconds = map(int, match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)
