"""One search: a policy behind its real protocol and a real graph of attempts, in process."""

import random
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from benchmarks.search.problems import Problem, Program
from benchmarks.search.proposer import propose

from harness.attempt import Attempt, Operator, Status, Verdict
from harness.ids import SEED_AGENT, SEED_ATTEMPT, AgentId, AttemptId, CommitHash, TreeHash
from harness.search.base import Directive, SearchContext, SearchPolicy, directive_rng
from harness.search.graph import AttemptGraph

AGENTS = 4
"""Directives under way at a time."""
FRUITLESS = 10
"""A search ends after so many directives for each evaluation: there are no ideas left."""


P = TypeVar("P")


class Bench(Protocol[P]):
    """What proposes programs and scores them, the same for every policy."""

    @property
    def seed(self) -> P:
        """Where the search starts."""
        ...

    def propose(
        self,
        graph: AttemptGraph,
        programs: Mapping[AttemptId, P],
        directive: Directive,
        rng: random.Random,
    ) -> tuple[P, Mapping[str, object]] | None:
        """A program for the directive and what there is to say of it; None without an idea."""
        ...

    def judge(self, program: P, rng: random.Random) -> tuple[float | None, float]:
        """The score that the policy sees, higher is better, None for a failure; the true one."""
        ...


class Pure:
    """The problems and the proposer of this benchmark."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.seed = problem.seed

    def propose(
        self,
        graph: AttemptGraph,
        programs: Mapping[AttemptId, Program],
        directive: Directive,
        rng: random.Random,
    ) -> tuple[Program, Mapping[str, object]]:
        parents = graph[directive.base].parents
        program = propose(
            self._problem,
            directive.operator,
            programs[directive.base],
            programs[parents[0]] if parents else None,
            [programs[each] for each in directive.references],
            rng,
        )
        return program, {}

    def judge(self, program: Program, rng: random.Random) -> tuple[float | None, float]:
        true = self._problem.true(program)
        return None if program.broken else true + rng.gauss(0.0, self._problem.noise), true


@dataclass(frozen=True, slots=True)
class Course:
    """`best[i]` is the true score of what had the best score after i + 1 evaluations."""

    best: list[float]
    cpu_s: list[float]
    """CPU time of the policy and the graph up to each evaluation."""

    @property
    def area(self) -> float:
        """Mean of the best-so-far curve."""
        return sum(self.best) / len(self.best)


def search(policy: SearchPolicy, bench: Bench[P], evaluations: int, seed: int) -> Course:
    """Evaluate the seed and what the policy's directives lead to, first asked, first judged."""
    rng = random.Random(f"proposer:{seed}")
    graph = AttemptGraph("maximize")
    programs: dict[AttemptId, P] = {}
    true: dict[AttemptId, float] = {}
    best: list[float] = []
    cpu_s: list[float] = []
    waiting: deque[Directive] = deque()
    spent = 0.0

    def judge(directive: Directive | None, program: P, detail: Mapping[str, object]) -> None:
        nonlocal spent
        score, really = bench.judge(program, rng)
        attempt = _attempt(len(graph), directive, score, detail)
        programs[attempt.id], true[attempt.id] = program, really
        started = time.process_time()
        graph.put(attempt)
        policy.observe(attempt)
        spent += time.process_time() - started
        cpu_s.append(spent)
        best.append(true[graph.best.id] if graph.best else 0.0)

    judge(None, bench.seed, {})
    number = 0
    while len(graph) < evaluations and number < FRUITLESS * evaluations:
        while len(waiting) < min(AGENTS, evaluations - len(graph)):
            number += 1
            context = SearchContext(
                number=number,
                progress=len(graph) / evaluations,
                agent=AgentId(f"agent-{number % AGENTS + 1}"),
                in_flight=[each.base for each in waiting],
                avoid=(),
                rng=directive_rng(seed, number),
            )
            started = time.process_time()
            waiting.append(policy.next(graph, context))
            spent += time.process_time() - started
        directive = waiting.popleft()
        proposal = bench.propose(graph, programs, directive, rng)
        if proposal is not None:
            judge(directive, *proposal)
    best += best[-1:] * (evaluations - len(best))
    return Course(best, cpu_s)


def _attempt(
    number: int, directive: Directive | None, score: float | None, detail: Mapping[str, object]
) -> Attempt:
    status = Status.FAILED if score is None else Status.SCORED
    return Attempt(
        id=AttemptId(str(number)) if directive else SEED_ATTEMPT,
        commit=CommitHash(f"{number:040x}"),
        tree=TreeHash(f"{number:040x}"),
        agent=AgentId("agent-1") if directive else SEED_AGENT,
        operator=directive.operator if directive else Operator.DRAFT,
        parents=(directive.base,) if directive else (),
        references=directive.references if directive else (),
        title="",
        status=status,
        created_at=float(number),
        verdict=Verdict(status, score),
        directive=directive.number if directive else None,
        detail=detail,
    )
