"""One search: a policy behind its real protocol and a real graph of attempts, in process."""

import random
import time
from collections import deque
from dataclasses import dataclass

from benchmarks.search.problems import Problem, Program
from benchmarks.search.proposer import propose

from harness.attempt import Attempt, Operator, Status, Verdict
from harness.ids import SEED_AGENT, SEED_ATTEMPT, AgentId, AttemptId, CommitHash, TreeHash
from harness.search.base import Directive, SearchContext, SearchPolicy, directive_rng
from harness.search.graph import AttemptGraph

AGENTS = 4
"""Directives under way at a time."""


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


def search(policy: SearchPolicy, problem: Problem, evaluations: int, seed: int) -> Course:
    """Evaluate the seed and what the policy's directives lead to, first asked, first judged."""
    rng = random.Random(f"proposer:{seed}")
    graph = AttemptGraph("maximize")
    programs: dict[AttemptId, Program] = {}
    best: list[float] = []
    cpu_s: list[float] = []
    waiting: deque[Directive] = deque()
    spent = 0.0

    def judge(directive: Directive | None, program: Program) -> None:
        nonlocal spent
        attempt = _judged(problem, len(graph), directive, program, rng)
        programs[attempt.id] = program
        started = time.process_time()
        graph.put(attempt)
        policy.observe(attempt)
        spent += time.process_time() - started
        cpu_s.append(spent)
        best.append(problem.true(programs[graph.best.id]) if graph.best else 0.0)

    judge(None, problem.seed)
    for number in range(1, evaluations):
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
        if len(waiting) == AGENTS:
            judge(*_carried_out(problem, graph, programs, waiting.popleft(), rng))
    while waiting:
        judge(*_carried_out(problem, graph, programs, waiting.popleft(), rng))
    return Course(best, cpu_s)


def _carried_out(
    problem: Problem,
    graph: AttemptGraph,
    programs: dict[AttemptId, Program],
    directive: Directive,
    rng: random.Random,
) -> tuple[Directive, Program]:
    parents = graph[directive.base].parents
    return directive, propose(
        problem,
        directive.operator,
        programs[directive.base],
        programs[parents[0]] if parents else None,
        [programs[each] for each in directive.references],
        rng,
    )


def _judged(
    problem: Problem, number: int, directive: Directive | None, program: Program, rng: random.Random
) -> Attempt:
    status = Status.FAILED if program.broken else Status.SCORED
    score = None if program.broken else problem.true(program) + rng.gauss(0.0, problem.noise)
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
    )
