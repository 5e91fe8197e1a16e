"""OpenEvolve: islands with a grid of complexity and diversity each."""

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.search.packages.dialects import Wish, divided, fenced, others, replacement
from benchmarks.search.packages.package import INSIDE, Assignment
from benchmarks.search.packages.server import PROPOSER
from benchmarks.search.packages.source import programs
from benchmarks.search.problems import Program

from harness.attempt import Operator

CIRCLE_PACKING: Mapping[str, Any] = {
    "checkpoint_interval": 10,
    "diff_based_evolution": False,
    "prompt": {"num_top_programs": 3, "use_template_stochasticity": True},
    "database": {
        "population_size": 60,
        "archive_size": 25,
        "num_islands": 4,
        "elite_selection_ratio": 0.3,
        "exploitation_ratio": 0.7,
    },
    "evaluator": {
        "timeout": 60,
        "cascade_evaluation": True,
        "cascade_thresholds": [0.5, 0.75],
        "parallel_evaluations": 4,
    },
}
"""Its repository's examples/circle_packing/config_phase_1.yaml, without model and task."""


class OpenEvolveDialect:
    """The current program comes last; the history before it shows others."""

    HEADER = "# Current Program"
    DIFF = "SEARCH/REPLACE"

    def read(self, system: str, prompt: str) -> Wish:
        history, current = divided(prompt, self.HEADER)
        found = programs(current)
        if len(found) != 1:
            raise ValueError(f"{len(found)} current programs")
        references = others(programs(history), found[0])
        diff = self.DIFF in current
        return Wish(Operator.IMPROVE, found[0], references=references, diff=diff)

    def write(self, wish: Wish, child: Program) -> str:
        return replacement(wish.base, child) if wish.diff else fenced(child)


class OpenEvolvePackage:
    """Its command, with its defaults or the settings of one of its examples."""

    distribution = "openevolve"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self.dialect = OpenEvolveDialect()

    def prepare(self, assignment: Assignment) -> Sequence[str]:
        folder = assignment.folder
        shutil.copyfile(INSIDE, folder / "evaluator.py")
        (folder / "initial_program.py").write_text(assignment.program, encoding="utf-8")
        model = {"name": PROPOSER, "weight": 1.0}
        llm = {"api_base": assignment.url, "api_key": "none", "models": [model]}
        settings = {**self._settings, "random_seed": assignment.seed, "llm": llm}
        # YAML reads JSON.
        (folder / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")
        return [
            str(assignment.venv / "bin" / "openevolve-run"),
            "initial_program.py",
            "evaluator.py",
            *("--config", "config.yaml"),
            *("--output", "output"),
            # The first program's evaluation is none of the iterations.
            *("--iterations", str(assignment.evaluations - 1)),
        ]
