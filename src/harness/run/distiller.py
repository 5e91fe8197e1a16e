"""Insights of a run's own model, from its attempts, when it ends."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from harness.agents.base import AgentConfig, ModelCall, Usage
from harness.agents.prompts.templates import render
from harness.agents.text import clip, fence
from harness.attempt import Attempt, Status
from harness.errors import HarnessError
from harness.events import EventKind
from harness.ids import SEED_ATTEMPT, AgentId, AttemptId
from harness.run.core import Core
from harness.run.rules import prompt_folders

AUTHOR = AgentId("distiller")
LEAST_ATTEMPTS = 6
SHOWN = 40
MOST = 5
LEAST_EVIDENCE = 2
TIMEOUT_S = 30.0


class _Insight(BaseModel):
    """As the model writes it; `evidence` are ids of attempts."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=2000)
    evidence: list[str | int] = Field(max_length=100)


@dataclass(frozen=True, slots=True)
class Insight:
    """What a model learnt from attempts of the run, all of which there are."""

    title: str
    text: str
    evidence: tuple[AttemptId, ...]
    model: str


async def insights_of(core: Core) -> list[Insight]:
    """What the run's model makes of its attempts; empty without a model, time or money for it.

    One call, which counts as any other. Whatever goes wrong is a warning in the journal.
    """
    agent = next((c for c in core.config.agent_configs if c.model.name is not None), None)
    finished = [a for a in core.graph if a.verdict is not None and a.id != SEED_ATTEMPT]
    if agent is None or len(finished) < LEAST_ATTEMPTS or core.endpoints.outages():
        return []
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said = await _ask(core, agent, finished)
        return read_insights(said, {a.id for a in finished}, agent.model.name or "")
    except (HarnessError, TimeoutError) as error:
        why = str(error) or f"no answer within {TIMEOUT_S:g} s"
        core.store.event(EventKind.WARNING, text=f"no insights of the model: {why}")
        return []


def read_insights(said: str, known: set[AttemptId], model: str) -> list[Insight]:
    """The insights in a model's answer that rest on attempts there are; of anything else, none."""
    begin, end = said.find("["), said.rfind("]")
    try:
        found = TypeAdapter(list[_Insight]).validate_python(json.loads(said[begin : end + 1]))
    except (ValueError, ValidationError, RecursionError):
        return []
    insights: list[Insight] = []
    for each in found[:MOST]:
        named = dict.fromkeys(AttemptId(str(number)) for number in each.evidence)
        evidence = tuple(number for number in named if number in known)
        if len(evidence) >= LEAST_EVIDENCE:
            insights.append(Insight(each.title, each.text, evidence, model))
    return insights


async def _ask(core: Core, agent: AgentConfig, finished: Sequence[Attempt]) -> str:
    prompt = render(
        prompt_folders(core.task.folder, agent),
        "distil",
        task=core.task,
        most=MOST,
        attempts=_described(core, finished),
    )
    client = core.endpoints.client(agent.model)
    answer = await client.complete(
        [{"role": "user", "content": prompt}], [], lambda worst: _recorded(core, worst)
    )
    return str(answer.message.get("content") or "")


def _described(core: Core, finished: Sequence[Attempt]) -> str:
    """Those that changed most, in either direction, and the newest failures; oldest first."""

    def weight(attempt: Attempt) -> float:
        parent = core.graph[attempt.parents[0]].score if attempt.parents else None
        if attempt.score is None or parent is None:
            return 0.0
        return abs(attempt.score - parent)

    scored = sorted((a for a in finished if a.status is Status.SCORED), key=weight, reverse=True)
    failed = [a for a in finished if a.status is not Status.SCORED][::-1]
    failures = failed[: SHOWN // 4]
    chosen = [*scored[: SHOWN - len(failures)], *failures]
    lines = [_line(core, each) for each in sorted(chosen, key=lambda a: int(a.id))]
    return fence("\n".join(lines), "attempts", 30_000)


def _line(core: Core, attempt: Attempt) -> str:
    parent = core.graph[attempt.parents[0]] if attempt.parents else None
    before = "-" if parent is None or parent.score is None else f"{parent.score:.6g}"
    assert attempt.verdict is not None
    came = attempt.status.value if attempt.score is None else f"{attempt.score:.6g}"
    why = "" if attempt.score is not None else f" ({clip(attempt.verdict.feedback, 160)})"
    return f"{attempt.id}: {attempt.operator.value}: {attempt.title}: {before} -> {came}{why}"


@asynccontextmanager
async def _recorded(core: Core, worst: Usage) -> AsyncGenerator[ModelCall]:
    async with core.budget.model_call(worst) as call:
        yield _Recorded(core, call)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A call that is charged to the budget and written to the store."""

    core: Core
    call: ModelCall

    def settle(self, usage: Usage) -> None:
        self.call.settle(usage)
        self.core.store.accounts.model_call(AUTHOR, None, usage)
