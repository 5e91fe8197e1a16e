"""ShinkaEvolve: two islands, parents weighted by score and number of children."""

import json
import shutil
from collections.abc import Sequence

from benchmarks.search.packages.dialects import Wish, divided, fenced, others, replacement
from benchmarks.search.packages.package import INSIDE, Assignment
from benchmarks.search.packages.server import PROPOSER
from benchmarks.search.packages.source import programs
from benchmarks.search.problems import Program

from harness.attempt import Operator


class ShinkaDialect:
    """Prior programs, the current one, and for a crossover a last one.

    A crossover is the suite's `fuse` with the program that it names; its changes and its rewrites
    are both `improve`, since the suite's proposer knows no difference.
    """

    HEADER, CROSSOVER = "# Current program", "# Crossover Inspiration Programs"
    DIFF = "<DIFF>"

    def read(self, system: str, prompt: str) -> Wish:
        prior, current = divided(prompt, self.HEADER)
        found = programs(current)
        crossover = self.CROSSOVER in current
        if len(found) != (2 if crossover else 1):
            raise ValueError(f"{len(found)} current programs")
        base = found[0]
        if crossover:
            return Wish(Operator.FUSE, base, references=found[1:])
        references = others(programs(prior), base)
        return Wish(Operator.IMPROVE, base, references=references, diff=self.DIFF in system)

    def write(self, wish: Wish, child: Program) -> str:
        head = "<NAME>\nchange\n</NAME>\n\n<DESCRIPTION>\nNumbers.\n</DESCRIPTION>\n\n"
        if wish.diff:
            return f"{head}<DIFF>\n{replacement(wish.base, child)}\n\n</DIFF>"
        return f"{head}<CODE>\n{fenced(child)}\n</CODE>"


class ShinkaPackage:
    """Its command with its defaults; its embeddings are the server's hashed words."""

    distribution = "shinka-evolve"

    def __init__(self) -> None:
        self.dialect = ShinkaDialect()

    def prepare(self, assignment: Assignment) -> Sequence[str]:
        task = assignment.folder / "task"
        task.mkdir()
        shutil.copyfile(INSIDE, task / "evaluate.py")
        (task / "initial.py").write_text(assignment.program, encoding="utf-8")
        models = json.dumps([f"local/{PROPOSER}@{assignment.url}"])
        return [
            str(assignment.venv / "bin" / "shinka_run"),
            *("--task-dir", "task"),
            *("--results_dir", "results"),
            *("--num_generations", str(assignment.evaluations)),
            *("--set", f"evo.llm_models={models}"),
            *("--set", f"evo.embedding_model=local/embeddings@{assignment.url}"),
        ]
