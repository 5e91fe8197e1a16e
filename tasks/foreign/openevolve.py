"""OpenEvolve's tasks: `initial_program.*`, `evaluator.py`, `config.yaml`.

What its evaluators may rely on is in `inside/harness_openevolve.py`. Source: OpenEvolve 0.4.0.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import TaskError
from harness.tasks.editable import has_blocks
from harness.tasks.foreign.base import OPTIONS, Native, Source, adapter, below, task_name, tree
from harness.tasks.foreign.config import Keys, is_a, read_yaml
from harness.tasks.foreign.requirements import needed

EVALUATOR = "evaluator.py"
PROGRAM = "initial_program"
CONFIG = "config.yaml"
THRESHOLDS = (0.5, 0.75, 0.9)
TIMEOUT_S = 300.0
OUTPUTS = frozenset({"openevolve_output", "output", "outputs", "logs"})

DEAD = frozenset({"allow_full_rewrites", "parallel_evaluations"})
"""Keys of published configurations that OpenEvolve itself does not read."""
SEARCH = frozenset({"database", "max_code_length", "diff_based_evolution", "checkpoint_interval",
    "log_level", "log_dir", "language", "file_suffix", "early_stopping_patience",
    "convergence_threshold", "early_stopping_metric", "evolution_trace", "max_tasks_per_child",
    "diff_pattern", "random_seed"})  # fmt: skip
"""Keys that say how OpenEvolve searches: here `search`, `agents` and `memory` do that."""


class OpenEvolveFormat:
    """A folder with an evaluator and one initial program."""

    name = "openevolve"

    def recognises(self, folder: Path) -> bool:
        return bool(_programs(folder)) and (
            (folder / EVALUATOR).is_file() or (folder / CONFIG).is_file()
        )

    def convert(self, folder: Path) -> Native:
        program = _program(folder)
        if not (folder / EVALUATOR).is_file():
            raise TaskError(
                f"{folder} has {program.name} and no {EVALUATOR}",
                expected=f"{EVALUATOR} with evaluate(program_path)",
                action=f"put {EVALUATOR} beside {program.name}",
            )
        path, notes = _config(folder)
        config = Keys(read_yaml(path), path)
        options = _options(config, program.name)
        files: dict[str, Source] = dict(tree(folder, skip=OUTPUTS))
        packages, more = needed(folder, files)
        budget = int(config.number("max_iterations", 100))
        file: dict[str, Any] = {
            "name": task_name(folder.resolve().name),
            "description": _description(config.section("prompt"), program.name),
            "direction": "maximize",
            "submission": {
                "include": [f"/{program.name}"],
                "blocks": has_blocks(program.read_bytes()),
            },
            "evaluator": {
                "kind": "one_phase",
                "judge": "harness_openevolve.py:judge",
                # Each stage has the whole time, and starting takes some.
                "timeout_s": options["timeout_s"] * (3 if options["cascade"] else 1) + 30,
            },
            "environment": {"python": packages},
            "budget": {"evaluations": budget + 1},
        }
        return Native(
            file,
            seed={program.name: program},
            evaluator={
                **adapter("harness_openevolve.py", "openevolve"),
                OPTIONS: json.dumps(options, indent=2).encode(),
                **below("task", files),
            },
            notes=(*notes, *more, *_notes(config, path.name)),
        )


def _options(config: Keys, program: str) -> dict[str, Any]:
    """What the adapter is to know."""
    evaluator = config.section("evaluator")
    timeout = evaluator.number("timeout", TIMEOUT_S)
    if timeout <= 0:
        raise evaluator.wrong("timeout", timeout, "seconds, above 0")
    return {
        "evaluator": EVALUATOR,
        "program": program,
        "cascade": bool(evaluator.get("cascade_evaluation", True)),
        "thresholds": _thresholds(evaluator),
        "timeout_s": timeout,
        "features": config.section("database").get("feature_dimensions", []),
    }


def _programs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{PROGRAM}.*") if path.is_file())


def _program(folder: Path) -> Path:
    programs = _programs(folder)
    if len(programs) > 1:
        raise TaskError(
            f"{folder} has {len(programs)} files {PROGRAM}.*",
            expected="one program to begin with",
            action=f"keep one of {', '.join(path.name for path in programs)}",
        )
    return programs[0]


def _config(folder: Path) -> tuple[Path, list[str]]:
    """`config.yaml`, else the first of those that are named alike, and notes on the others."""
    path = folder / CONFIG
    others = sorted(folder.glob("config*.yaml"))
    if path.is_file() or not others:
        return path, []
    passed = [f"{each.name} is passed over: {others[0].name} is read" for each in others[1:]]
    return others[0], passed


def _thresholds(evaluator: Keys) -> list[float]:
    values = evaluator.get("cascade_thresholds", list(THRESHOLDS))
    found: list[float] = []
    items: list[Any] = values if is_a(list, values) else [None]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise evaluator.wrong("cascade_thresholds", values, "a list of numbers")
        found.append(float(item))
    return found


def _description(prompt: Keys, program: str) -> str:
    text = prompt.text("system_message").strip() or "Improve the program."
    return (
        f"{text}\n\nThe solution is the file `{program}`. The evaluator is given that file alone; "
        "a higher score is better."
    )


def _notes(config: Keys, file: str) -> Iterator[str]:
    ignored: list[str] = []
    for key in config.unknown():
        top = key.split(".")[0]
        if top == "llm":
            continue
        if top in DEAD:
            yield f"{file}: {key!r} is read by nothing, in OpenEvolve either"
        else:
            ignored.append(key)
    search = [key for key in ignored if key.split(".")[0] in SEARCH]
    if search:
        yield f"{file}: how OpenEvolve searches means nothing here: {', '.join(search)}"
    if config.get("llm"):
        yield f"{file}: 'llm' is passed over; models are named with --model (docs/models.md)"
    for key in ignored:
        if key not in search:
            yield f"{file}: {key!r} is passed over"
