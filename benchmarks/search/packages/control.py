"""The control: our policies through the very server that the packages are driven by.

Every proposal and every score of a search travels as a prompt and an answer. With the suite's own
random numbers the course must then be the suite's own, to the last digit.
"""

import random
from collections.abc import Mapping

from benchmarks.search.drive import Course, search
from benchmarks.search.packages.dialects import Plain, Wish
from benchmarks.search.packages.inside import ask
from benchmarks.search.packages.server import JUDGE, PROPOSER, ModelServer
from benchmarks.search.packages.source import read, source
from benchmarks.search.problems import Problem, Program

from harness.ids import AttemptId
from harness.search.base import Directive, SearchPolicy
from harness.search.graph import AttemptGraph


class OverHttp:
    """A `Bench` whose proposer and judge are a server's."""

    def __init__(self, problem: Problem, server: ModelServer) -> None:
        self.seed = problem.seed
        self._noise = problem.noise
        self._server = server
        self._plain = Plain()

    def propose(
        self,
        graph: AttemptGraph,
        programs: Mapping[AttemptId, Program],
        directive: Directive,
        rng: random.Random,
    ) -> tuple[Program, Mapping[str, object]]:
        parents = graph[directive.base].parents
        wish = Wish(
            directive.operator,
            programs[directive.base],
            programs[parents[0]] if parents else None,
            [programs[each] for each in directive.references],
        )
        self._server.rng = rng
        return read(ask(self._server.url, PROPOSER, self._plain.ask(wish))), {}

    def judge(self, program: Program, rng: random.Random) -> tuple[float | None, float]:
        true = float(ask(self._server.url, JUDGE, source(program)))
        # As the suite's own judge, which draws the noise of problems without noise, too.
        return true + rng.gauss(0.0, self._noise), true


def search_over_http(policy: SearchPolicy, problem: Problem, evaluations: int, seed: int) -> Course:
    with ModelServer(problem, Plain(), random.Random(seed)) as server:
        return search(policy, OverHttp(problem, server), evaluations, seed)
