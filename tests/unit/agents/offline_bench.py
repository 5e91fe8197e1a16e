"""A run in memory for the offline agent: a real graph and policy, and a judge of a few lines."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

from harness.agents.base import (
    AgentConfig,
    AgentContext,
    Assignment,
    BudgetView,
    ModelCall,
    Submitted,
    TaskView,
    Usage,
)
from harness.agents.heartbeats.base import Intervention
from harness.agents.offline import OfflineAgent
from harness.attempt import Attempt, Direction, Operator, Status, Verdict
from harness.errors import SubmissionRefusedError
from harness.ids import SEED_AGENT, AgentId, AttemptId, CommitHash, TreeHash
from harness.memory.base import Recalled, RecordKind
from harness.sandbox.base import Sandbox
from harness.search.base import SearchContext, directive_rng
from harness.search.config import SearchConfig
from harness.search.graph import AttemptGraph
from harness.search.policies import make_policy
from harness.tasks.editable import Editable

Files = dict[str, bytes]
Judge = Callable[[Mapping[str, bytes]], float | None]
ROOT = Path(__file__).parents[3]


class Folder:
    """The part of a sandbox that the offline agent uses: a work tree in memory."""

    def __init__(self) -> None:
        self.files: Files = {}

    async def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        self.files[path] = data


class Bench:
    """An `AgentContext` over a real graph and policy; submissions are judged at once."""

    def __init__(
        self,
        seed_files: Mapping[str, bytes],
        judge: Judge,
        *,
        direction: Direction = "maximize",
        search: str = "progressive",
        seed: int = 0,
        evaluations: int = 60,
    ) -> None:
        self.remembered: list[Recalled] = []
        self.judge = judge
        self.seed = seed
        self.evaluations = evaluations
        self.graph = AttemptGraph(direction)
        self.policy = make_policy(search, seed=seed, direction=direction, config=SearchConfig())
        self.trees: dict[AttemptId, Files] = {}
        self.folder = Folder()
        self.current: Assignment | None = None
        self.asked = 0
        self.refuse = False
        self.said: list[str] = []
        self._add(dict(seed_files), (), (), Operator.DRAFT, "seed", {})

    agent = AgentId("agent-1")
    config = AgentConfig()
    editable: Editable | None = None

    @property
    def sandbox(self) -> Sandbox:
        return cast(Sandbox, self.folder)

    @property
    def task(self) -> TaskView:
        raise AssertionError("the offline agent must not look at the task")

    @property
    def checkpoints(self) -> Path:
        raise AssertionError("the offline agent keeps nothing")

    def _add(
        self,
        files: Files,
        parents: tuple[AttemptId, ...],
        references: tuple[AttemptId, ...],
        operator: Operator,
        title: str,
        detail: Mapping[str, Any],
    ) -> Attempt:
        known = next((a for a, tree in self.trees.items() if tree == files), None)
        score = self.judge(files)
        status = Status.SCORED if score is not None else Status.INVALID
        attempt = Attempt(
            id=AttemptId(str(len(self.graph))),
            commit=CommitHash("0" * 40),
            tree=TreeHash("0" * 40),
            agent=self.agent if parents else SEED_AGENT,
            operator=operator,
            parents=parents,
            references=references,
            title=title,
            status=status,
            created_at=0.0,
            verdict=Verdict(status, score),
            directive=self.asked or None,
            detail=json.loads(json.dumps(dict(detail))),
        )
        if known is not None:
            duplicate = Verdict(Status.DUPLICATE)
            return replace(attempt, status=Status.DUPLICATE, verdict=duplicate)
        self.trees[attempt.id] = files
        self.graph.put(attempt)
        self.policy.observe(attempt)
        return attempt

    async def assignment(self) -> Assignment | None:
        self.current = None
        if len(self.graph) >= self.evaluations:
            return None
        self.asked += 1
        directive = self.policy.next(
            self.graph,
            SearchContext(
                number=self.asked,
                progress=len(self.graph) / self.evaluations,
                agent=self.agent,
                in_flight=(),
                avoid=(),
                rng=directive_rng(self.seed, self.asked),
            ),
        )
        self.folder.files = dict(self.trees[directive.base])
        references = tuple(self.graph[r] for r in directive.references)
        self.current = Assignment(directive, self.graph[directive.base], references, ())
        return self.current

    async def submit(
        self, title: str, *, key: str, detail: Mapping[str, Any] | None = None
    ) -> Submitted:
        assert self.current is not None
        directive = self.current.directive
        assert key == f"{directive.number}:0"
        if self.refuse:
            raise SubmissionRefusedError("too large: big.bin")
        attempt = self._add(
            dict(self.folder.files),
            (directive.base,),
            directive.references,
            directive.operator,
            title,
            detail or {},
        )
        assert attempt.verdict is not None
        return Submitted(attempt, attempt.verdict)

    async def read_attempt(self, attempt: AttemptId) -> Mapping[str, bytes]:
        return self.trees[attempt]

    async def diff(self, base: AttemptId, attempt: AttemptId) -> str:
        raise AssertionError

    async def recall(
        self,
        text: str,
        *,
        purpose: str = "search",
        limit: int = 5,
        kinds: Sequence[RecordKind] = (),
    ) -> list[Recalled]:
        return self.remembered

    async def note(self, title: str, text: str, *, key: str) -> str:
        raise AssertionError

    def interventions(self) -> Sequence[Intervention]:
        return ()

    def budget(self) -> BudgetView:
        raise AssertionError

    def rng(self) -> Random:
        return Random(f"{self.seed}:{self.asked}:agent")

    def model_call(self, worst_case: Usage) -> AbstractAsyncContextManager[ModelCall]:
        raise AssertionError("the offline agent calls no model")

    def say(self, activity: str) -> None:
        self.said.append(activity)

    def log(self, turn: Mapping[str, Any]) -> None:
        json.dumps(dict(turn))

    async def run(self) -> "Bench":
        await OfflineAgent(AgentConfig()).run(cast(AgentContext, self))
        return self


def constants(files: Mapping[str, bytes], name: str = "solve.py") -> dict[str, Any]:
    """Top-level values of a program; empty when it does not run."""
    scope: dict[str, Any] = {}
    try:
        exec(compile(files[name], name, "exec"), scope)  # noqa: S102 - the tests' own program
    except (ArithmeticError, LookupError, NameError, SyntaxError, TypeError, ValueError):
        return {}
    return scope


TABLE = b"""VALUES = [
    [0.5, 2.0, 0.1],
    [0.7, 1.0, 0.1],
    [0.2, 3.0, 0.1],
    [0.9, 2.5, 0.1],
]
GAIN = 1.0
"""


def sphere(files: Mapping[str, bytes]) -> float | None:
    """Squared distance of all numbers from 1, with everything below 0 forbidden."""
    scope = constants(files)
    try:
        numbers = [*(x for row in scope["VALUES"] for x in row), scope["GAIN"]]
        return math.fsum((x - 1.0) ** 2 for x in numbers) if min(numbers) >= 0 else None
    except (KeyError, TypeError, ValueError):
        return None
