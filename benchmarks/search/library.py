"""The library's tasks with the offline agent's proposer: real programs, run and scored by their
judges.

A score is the share of the gap between the seed and the best published score that is closed. What
a directive leads to is what `harness launch --agent offline` would submit: a change of the base's
source, drawn by the experience of this search. To make twenty seeds affordable a candidate runs in
a forked process in place of a sandbox, and its judge after it in the same process. Nobody cheats
here: the candidates are the seed with other numbers and statements.
"""

import contextlib
import json
import os
import random
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

from harness.agents.adaptation import gain_of, scored_ancestor
from harness.agents.edits import Program
from harness.agents.mutation import parse
from harness.agents.tactics import Donor, Situation, propose
from harness.attempt import Attempt
from harness.evaluators.judge_runner import ask, load
from harness.ids import AttemptId
from harness.search.base import Directive
from harness.search.graph import AttemptGraph
from harness.tasks.loader import load_task

TUNING_TASKS = ("autocorrelation_first", "heilbronn_triangle")
REPORT_TASKS = ("circle_packing", "erdos_min_overlap", "sort_kernel")
EVALUATIONS = 100
"""The tasks' own budgets allow 100 to 120."""
MOST_SEEDS = 20
"""More would take hours."""
CPU_S = 10
"""CPU seconds of a candidate and its judge."""


class LibraryTask:
    """One task of the library as a `Bench`."""

    def __init__(self, name: str) -> None:
        task = load_task(name)
        self._task = task
        self._folder = Path(tempfile.mkdtemp(prefix="search-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        sources = {p.name: parse(p.name, p.read_bytes()) for p in sorted(task.seed.glob("*.py"))}
        self.seed: Program = {name: model for name, model in sources.items() if model is not None}
        file = task.file
        if file.best_known is None:
            raise ValueError(f"{name} has no published score")
        start = self._scored(self.seed)
        if start is None:
            raise ValueError(f"the seed of {name} has no score")
        self._start, self._gap = start, file.best_known.value - start

    def propose(
        self,
        graph: AttemptGraph,
        programs: Mapping[AttemptId, Program],
        directive: Directive,
        rng: random.Random,
    ) -> tuple[Program, Mapping[str, object]] | None:
        def origin(attempt: Attempt) -> Program | None:
            ancestor = scored_ancestor(graph, attempt)
            return programs[ancestor.id] if ancestor is not None else None

        base = programs[directive.base]
        references = [graph[each] for each in directive.references]
        proposal = propose(
            Situation(
                graph=graph,
                operator=directive.operator,
                base=graph[directive.base],
                program=base,
                parent=origin(graph[directive.base]),
                donors=[
                    Donor(programs[r.id], origin(r) if gain_of(graph, r) > 0 else None)
                    for r in references
                ],
                rng=rng,
            )
        )
        return None if proposal is None else ({**base, **proposal.files}, proposal.detail)

    def judge(self, program: Program, rng: random.Random) -> tuple[float | None, float]:
        score = self._scored(program)
        share = None if score is None else (score - self._start) / self._gap
        return share, share or 0.0

    def _scored(self, program: Program) -> float | None:
        """The judge's score; None when the program fails or is refused."""
        for left in self._folder.iterdir():
            left.unlink()
        for path, model in program.items():
            (self._folder / path).write_bytes(model.text)
        receive, send = os.pipe()
        child = os.fork()
        if not child:
            os.close(receive)
            self._run(send)
        os.close(send)
        with os.fdopen(receive, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        return None if not answer else json.loads(answer)["score"]

    def _run(self, channel: int) -> None:
        """The forked process; it never returns. A program that raises or hangs answers nothing."""
        try:
            signal.alarm(2 * CPU_S)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            os.chdir(self._folder)
            sys.dont_write_bytecode = True
            sys.path.insert(0, str(self._folder))
            with contextlib.suppress(SystemExit):
                runpy.run_path(self._task.file.evaluator.command[1], run_name="__main__")
            file, function = self._task.file.evaluator.judge_words(str(self._task.evaluator))
            judge = load(file, function)
            os.write(channel, json.dumps(ask(judge, ".", "", 0)).encode())
        finally:
            os._exit(0)
