"""GEPA's `optimize_anything` for a single task: a change is kept when it scores better."""

import json
import shutil
from collections.abc import Sequence

from benchmarks.search.packages.dialects import Wish, fenced
from benchmarks.search.packages.package import INSIDE, Assignment
from benchmarks.search.packages.source import read
from benchmarks.search.problems import Program

from harness.attempt import Operator


class GepaDialect:
    """One program and what its evaluation said."""

    def read(self, system: str, prompt: str) -> Wish:
        return Wish(Operator.IMPROVE, read(prompt))

    def write(self, wish: Wish, child: Program) -> str:
        return fenced(child)


class GepaPackage:
    """Its function with its defaults. `cached`: with its cache of evaluations, which it has off."""

    distribution = "gepa"

    def __init__(self, *, cached: bool) -> None:
        self._cached = cached
        self.dialect = GepaDialect()

    def prepare(self, assignment: Assignment) -> Sequence[str]:
        folder = assignment.folder
        shutil.copyfile(INSIDE, folder / "inside.py")
        engine = {
            "seed": assignment.seed,
            # It counts what its cache answers, too: the parent of every proposal.
            "max_metric_calls": assignment.evaluations * (2 if self._cached else 1),
            "cache_evaluation": self._cached,
        }
        options = {"program": assignment.program, "engine": engine}
        (folder / "options.json").write_text(json.dumps(options), encoding="utf-8")
        python = assignment.venv / "bin" / "python"
        return [str(python), "inside.py", "--gepa", "options.json"]
