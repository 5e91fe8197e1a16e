"""What a model is told. The words are in the templates beside this file."""

import functools
from typing import Any

import jinja2

from harness.agents.base import AgentContext, Assignment, BudgetView
from harness.agents.text import fence, one_line
from harness.attempt import Attempt, Direction, Operator, Status, Verdict, better
from harness.memory.render import fenced
from harness.search.graph import AttemptGraph

_LISTED_ATTEMPTS = 40
_FEEDBACK_CHARACTERS = 2000


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("harness.agents", "prompts"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


def _render(name: str, **values: Any) -> str:
    return _environment().get_template(f"{name}.md.j2").render(**values).strip()


def system_prompt(context: AgentContext) -> str:
    """Who the agent is, the task, and the rules. The same for a whole run: endpoints cache it."""
    return _render(
        "system",
        agent=context.agent,
        task=context.task,
        workdir=context.sandbox.workdir,
        command_timeout_s=context.config.command_timeout_s,
    )


def directive_prompt(assignment: Assignment, context: AgentContext) -> str:
    """What to do next, on what base, with what is known."""
    directive = assignment.directive
    base = assignment.base
    return _render(
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
        standing=standing(context.graph),
        budget=budget_left(context.budget()),
        max_turns=context.config.max_turns,
    )


def summary_prompt(context: AgentContext, notes: list[str]) -> str:
    """What stands in for turns that were removed: the agent's attempts and its notes' titles."""
    own = [attempt for attempt in context.graph if attempt.agent == context.agent]
    return _render(
        "summary",
        earlier=max(0, len(own) - _LISTED_ATTEMPTS),
        attempts=[f"{attempt.id}: {describe(attempt)}" for attempt in own[-_LISTED_ATTEMPTS:]],
        notes=[one_line(note, limit=200) for note in notes[-_LISTED_ATTEMPTS:]],
        standing=standing(context.graph),
    )


def describe(attempt: Attempt) -> str:
    """One line: title, maker, operator and result."""
    result = f"score {attempt.score:.10g}" if attempt.score is not None else attempt.status.value
    title = one_line(attempt.title, limit=120) or "untitled"
    return f"“{title}” ({attempt.operator.value} by {attempt.agent}): {result}"


def feedback(verdict: Verdict | None) -> str:
    """What the evaluator said, fenced; empty when it said nothing.

    Details of the judge are for the task's author: a traceback there may quote private data.
    """
    if verdict is None:
        return ""
    parts = [verdict.feedback.strip()]
    parts += [
        f"{stage.name}: {stage.status.value}: {stage.detail.strip()}"
        for stage in verdict.stages
        if stage.name != "judge" and stage.detail.strip() not in verdict.feedback
    ]
    if verdict.metrics:
        parts.append(", ".join(f"{name} = {value:.10g}" for name, value in verdict.metrics.items()))
    text = "\n".join(part for part in parts if part)
    return fence(text, "evaluator", _FEEDBACK_CHARACTERS) if text else ""


def standing(graph: AttemptGraph) -> str:
    """The best attempt and how many there are."""
    best = graph.best
    if best is None:
        return f"{len(graph)} attempts, none scored yet."
    return f"{len(graph)} attempts; the best is attempt {best.id}: {describe(best)}."


def verdict_text(attempt: Attempt, verdict: Verdict, graph: AttemptGraph) -> str:
    """A verdict with how it compares with the base and with the best."""
    if attempt.status is Status.DUPLICATE:
        first = attempt.duplicate_of or "an earlier attempt"
        head = f"Attempt {attempt.id}: duplicate of {first}; nothing was charged."
    else:
        head = f"Attempt {attempt.id}: {verdict.status.value}."
    lines = [head]
    if verdict.score is not None:
        lines.append(f"Score: {verdict.score:.10g}")
        base = graph[attempt.parents[0]] if attempt.parents else None
        if base is not None:
            lines.append(_compare(graph.direction, verdict.score, base, "its base"))
        if graph.best is not None and graph.best.id != attempt.id:
            lines.append(_compare(graph.direction, verdict.score, graph.best, "the best"))
        elif graph.best is not None:
            lines.append("This is the best attempt of the run.")
    said = feedback(verdict)
    return "\n".join([*lines, said] if said else lines)


def _compare(direction: Direction, score: float, other: Attempt, name: str) -> str:
    if other.score is None:
        return f"Against {name} (attempt {other.id}): that one has no score ({other.status.value})."
    if score == other.score:
        word = "equal"
    else:
        word = "better" if better(direction, score, other.score) else "worse"
    change = score - other.score
    return f"Against {name} (attempt {other.id}, {other.score:.10g}): {word}, {change:+.6g}."


def budget_left(budget: BudgetView) -> str:
    """The limits that there are; empty without any."""
    parts: list[str] = []
    if budget.evaluations_left is not None:
        parts.append(f"{budget.evaluations_left} evaluations of the team")
    if budget.seconds_left is not None:
        parts.append(f"{budget.seconds_left / 60:.0f} minutes")
    if budget.tokens_left is not None:
        parts.append(f"{budget.tokens_left} tokens")
    if budget.usd_left is not None:
        parts.append(f"{budget.usd_left:.2f} USD")
    return ", ".join(parts)
