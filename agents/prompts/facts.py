"""What a model is told of attempts, scores and the team, as text."""

from collections.abc import Sequence

from harness.agents.base import AgentContext, BudgetView, TaskView, Teammate
from harness.agents.text import fence, one_line
from harness.attempt import Attempt, Direction, Status, Verdict, better
from harness.ids import SEED_ATTEMPT, AgentId
from harness.search.graph import AttemptGraph

_FEEDBACK_CHARACTERS = 2000
_LISTED_TEAMMATES = 16


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


def scale(task: TaskView, graph: AttemptGraph) -> str:
    """What scores there are to measure one's own against: seed, baseline, best, best known."""
    parts: list[str] = []
    if SEED_ATTEMPT in graph and graph[SEED_ATTEMPT].score is not None:
        parts.append(f"the seed has {graph[SEED_ATTEMPT].score:.10g}")
    if task.baseline is not None:
        parts.append(f"a simple solution {task.baseline:.10g}")
    best = graph.best
    if best is not None:
        parts.append(f"the best so far {best.score:.10g}")
    if task.best_known is not None:
        parts.append(f"the best published {task.best_known:.10g}")
    better_is = "higher" if task.direction == "maximize" else "lower"
    return ", ".join([*parts, f"{better_is} is better"])


def teammates(team: Sequence[Teammate], me: AgentId) -> str:
    """What the others are at, a line each, fenced; empty when the agent is alone."""
    others = [mate for mate in team if mate.agent != me]
    if not others:
        return ""
    lines = [_teammate(mate) for mate in others[:_LISTED_TEAMMATES]]
    if len(others) > _LISTED_TEAMMATES:
        lines.append(f"… and {len(others) - _LISTED_TEAMMATES} more")
    return fence("\n".join(lines), "team")


def _teammate(mate: Teammate) -> str:
    doing = mate.directive or mate.state or "idle"
    parts = [f"{mate.agent}: {one_line(doing, limit=80)}"]
    if mate.focus:
        parts.append(f"tries: {one_line(mate.focus, limit=200)}")
    if mate.role:
        parts.append(f"role: {one_line(mate.role, limit=120)}")
    return "; ".join(parts)


def own_focus(context: AgentContext) -> str:
    """The lane that the agent has claimed; empty without one."""
    mine = [mate.focus for mate in context.team() if mate.agent == context.agent]
    return one_line(mine[0], limit=300) if mine else ""


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
