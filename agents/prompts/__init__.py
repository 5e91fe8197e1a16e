"""What a model is told. The words are in the templates beside this file."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.agents.base import AgentContext, Assignment
from harness.agents.prompts.facts import (
    budget_left,
    describe,
    feedback,
    own_focus,
    scale,
    standing,
    teammates,
    verdict_text,
)
from harness.agents.prompts.templates import render
from harness.agents.text import fence, one_line
from harness.attempt import Operator
from harness.ids import AttemptId
from harness.memory.render import fenced

__all__ = [
    "Kept",
    "budget_left",
    "describe",
    "directive_prompt",
    "feedback",
    "research_prompt",
    "scale",
    "standing",
    "summary_prompt",
    "summary_request",
    "summary_system",
    "system_prompt",
    "teammates",
    "verdict_text",
]

_LISTED_OWN = 20


@dataclass(frozen=True, slots=True)
class Kept:
    """What outlives removed turns: notes, reasons for submissions, the model's own summary."""

    notes: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    words: str = ""


def system_prompt(context: AgentContext) -> str:
    """Who the agent is, the task, and the rules. The same for a whole run: endpoints cache it."""
    return render(
        context.prompts,
        "system",
        agent=context.agent,
        task=context.task,
        workdir=context.sandbox.workdir,
        command_timeout_s=context.config.command_timeout_s,
    )


def research_prompt(context: AgentContext, turns: int) -> str:
    """The warm start: what to read and to write down before the first directive."""
    return render(
        context.prompts,
        "research",
        knowledge=context.task.knowledge,
        scale=scale(context.task, context.graph),
        role=one_line(context.role, limit=500),
        team=teammates(context.team(), context.agent),
        budget=budget_left(context.budget()),
        turns=turns,
    )


def directive_prompt(assignment: Assignment, context: AgentContext, *, turns: bool = True) -> str:
    """What to do next, on what base, with what is known; `turns`: they are counted."""
    directive = assignment.directive
    base = assignment.base
    return render(
        context.prompts,
        "directive",
        number=directive.number,
        operator=Operator(directive.operator).value,
        reason=one_line(directive.reason, limit=400).rstrip("."),
        base={
            "id": base.id,
            "summary": describe(base),
            "feedback": feedback(base.verdict),
        },
        references=[
            {"id": reference.id, "summary": describe(reference)}
            for reference in assignment.references
        ],
        recalled=fenced(assignment.recalled, task=context.task.name),
        scale=scale(context.task, context.graph),
        standing=standing(context.graph),
        role=one_line(context.role, limit=500),
        focus=own_focus(context),
        team=teammates(context.team(), context.agent),
        budget=budget_left(context.budget()),
        max_turns=context.config.max_turns if turns else 0,
    )


def summary_prompt(
    context: AgentContext, kept: Kept, attempts: Sequence[AttemptId], *, own: bool
) -> str:
    """What stands in for turns that were removed.

    Args:
        kept: Notes, decisions, and words of the model.
        attempts: Those to list with their results.
        own: Whether `kept.words` is the model's own summary of these turns, not of earlier ones.
    """
    graph = context.graph
    earlier = [a for a in graph if a.agent == context.agent and a.id not in set(attempts)]
    return render(
        context.prompts,
        "summary",
        own=own,
        words=kept.words,
        attempts=[f"attempt {each}: {describe(graph[each])}" for each in attempts],
        earlier=[f"attempt {a.id}: {describe(a)}" for a in earlier[-_LISTED_OWN:]],
        notes=[one_line(note, limit=400) for note in kept.notes],
        decisions=[one_line(decision, limit=400) for decision in kept.decisions],
        standing=standing(graph),
    )


def summary_system(context: AgentContext) -> str:
    """The system message of the call that writes a summary."""
    return render(context.prompts, "compaction_system", agent=context.agent, task=context.task)


def summary_request(context: AgentContext, turns: str) -> str:
    """The call that writes a summary of `turns`."""
    return render(
        context.prompts,
        "compaction",
        turns=fence(turns, "turns", limit=len(turns) + 1),
        standing=standing(context.graph),
    )
