"""A run as a Markdown report."""

import re
from collections import Counter

from harness.attempt import Attempt, Operator, Status, better
from harness.ids import AgentId
from harness.run.accounts import Account
from harness.run.budget import format_budget
from harness.run.mlebench import disclosure
from harness.run.objectives import saved_objectives
from harness.run.revivals import revivals
from harness.run.usage import UsageView, read_usage
from harness.run.views import RunView, holdout_verdicts, timings, warnings
from harness.sandbox.repository import Repository

BEST_DIFF_LINES = 200
IMPROVEMENTS_SHOWN = 30
FAILURES_SHOWN = 10
REVIVALS_SHOWN = 10


def render_report(view: RunView) -> str:
    """Summary, curve, best diff, revivals, budget use, models, operators, agents, failures."""
    usage = read_usage(view.folder)
    sections = [
        _summary(view),
        "\n".join(disclosure(view.folder)),
        _holdout(view),
        _front(view),
        _curve(view),
        _best_diff(view),
        _revivals(view),
        _budget(view),
        _models(usage),
        _operators(view),
        _agents(view, usage),
        _failures(view),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _summary(view: RunView) -> str:
    best, seed = view.best, view.attempts[0] if view.attempts else None
    reason = f" ({view.reason})" if view.reason else ""
    lines = [
        f"# {view.folder.id}",
        "",
        (
            f"Task `{view.task}`, {'lower' if view.minimize else 'higher'} is better."
            f" State: {view.state}{reason}."
        ),
        "",
        "| | score | attempt |",
        "|---|---|---|",
    ]
    if best is not None:
        lines.append(f"| best | {best.score!r} | {best.id} by {best.agent}, `{best.commit[:10]}` |")
    if seed is not None:
        lines.append(f"| seed | {seed.score!r} | 0 |")
    return "\n".join(lines)


def _holdout(view: RunView) -> str:
    """What became of the champions on data that no score was told of."""
    verdicts = holdout_verdicts(view.folder)
    if not verdicts:
        return ""
    lines = [
        "## Hold-out",
        "",
        "Scored when the run ended; nothing of it was told to agents or used by the search.",
        "",
        "| attempt | score told | score on the hold-out |",
        "|---|---|---|",
    ]
    told = {attempt.id: attempt.score for attempt in view.attempts}
    for attempt, verdict in verdicts.items():
        found = verdict.status.value if verdict.score is None else repr(verdict.score)
        lines.append(f"| {attempt} | {told.get(attempt)!r} | {found} |")
    return "\n".join(lines)


def _front(view: RunView) -> str:
    front = view.front
    if front is None:
        return ""
    objectives = saved_objectives(view.folder)
    names = " | ".join(f"{each.metric} ({each.direction})" for each in objectives)
    lines = [
        "## Pareto front",
        "",
        "No attempt is as good as one of these in all objectives.",
        "",
        f"| attempt | score ({view.direction}) | {names} |",
        "|---" * (2 + len(objectives)) + "|",
    ]
    for attempt in (a for a in view.attempts if a.id in front.members):
        metrics = attempt.verdict.metrics if attempt.verdict is not None else dict[str, float]()
        values = " | ".join(f"{metrics[each.metric]:.10g}" for each in objectives)
        lines.append(f"| {attempt.id} | {attempt.score:.10g} | {values} |")
    return "\n".join(lines)


def improvements(view: RunView) -> list[tuple[int, Attempt]]:
    """Each attempt that set a new best, with its number among the charged evaluations."""
    judged = sorted(
        (a for a in view.attempts if a.verdict is not None and a.verdict.charged),
        key=lambda attempt: (attempt.evaluated_at or 0.0, int(attempt.id)),
    )
    found: list[tuple[int, Attempt]] = []
    best: float | None = None
    for number, attempt in enumerate(judged, start=1):
        score = attempt.score
        if score is not None and (best is None or better(view.direction, score, best)):
            best = score
            found.append((number, attempt))
    return found


def _curve(view: RunView) -> str:
    rows = improvements(view)
    lines = [
        "## Curve",
        "",
        "| evaluation | score | attempt | agent | change |",
        "|---|---|---|---|---|",
    ]
    if len(rows) > IMPROVEMENTS_SHOWN:
        lines[0] += f" (last {IMPROVEMENTS_SHOWN} of {len(rows)} improvements)"
    for number, attempt in rows[-IMPROVEMENTS_SHOWN:]:
        title = attempt.title.replace("|", "\\|")
        lines.append(
            f"| {number} | {attempt.score:.10g} | {attempt.id} | {attempt.agent} |"
            f" {attempt.operator.value}: {title} |"
        )
    return "\n".join(lines)


def _best_diff(view: RunView) -> str:
    best = view.best
    if best is None or best.id == "0":
        return ""
    repository = Repository.open(view.folder.repository)
    try:
        lines = repository.diff(view.attempts[0].tree, best.tree).splitlines()
    finally:
        repository.close()
    shown = lines[:BEST_DIFF_LINES]
    more = len(lines) - len(shown)
    tail = (
        f"\n\n{more} more lines: `harness show {view.folder.id} {best.id} --diff`" if more else ""
    )
    # A longer fence than any in the diff keeps the agent's text inside it.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", "\n".join(shown))), default=0))
    body = "\n".join(shown)
    return f"## Best against the seed\n\n{fence}diff\n{body}\n{fence}{tail}"


def _revivals(view: RunView) -> str:
    repository = Repository.open(view.folder.repository)
    try:
        found = revivals(view.attempts, repository)
    finally:
        repository.close()
    if not found:
        return ""
    back = len({each.attempt for each in found})
    lines = [
        "## Deleted lines that came back",
        "",
        f"In {back} of {len(view.attempts)} attempts. The newest:",
        "",
        "| attempt | deleted in | lines | one of them |",
        "|---|---|---|---|",
    ]
    for revival in found[: -REVIVALS_SHOWN - 1 : -1]:
        path, text = revival.lines[0]
        shown = f"{path}: {text}"[:80].replace("|", "\\|").replace("`", "'")
        row = f"| {revival.attempt} | {revival.deleted_in} | {len(revival.lines)} | `{shown}` |"
        lines.append(row)
    return "\n".join(lines)


def _budget(view: RunView) -> str:
    cost = "unknown" if view.cost_usd is None else f"{view.cost_usd:.4f} USD"
    lines = [
        "## Budget",
        "",
        (
            f"Budget: {format_budget(view.config.budget)}. Used: {view.evaluations} evaluations,"
            f" {view.wall_s:.1f} s, {view.tokens} tokens,"
            f" {cost if view.tokens else 'no model calls'}."
        ),
    ]
    phases = timings(view)
    if phases:
        lines += ["", "Wall time of the last session by phase, all agents together:", ""]
        lines += [f"- {name}: {seconds:.2f} s" for name, seconds in phases.items()]
    return "\n".join(lines)


def _operators(view: RunView) -> str:
    lines = ["## Operators", "", "| operator | attempts | scored | new best |", "|---|---|---|---|"]
    record = Counter(attempt.operator for _, attempt in improvements(view) if attempt.id != "0")
    for operator in Operator:
        mine = [a for a in view.attempts if a.operator is operator and a.id != "0"]
        if mine:
            scored = sum(a.status is Status.SCORED for a in mine)
            lines.append(f"| {operator.value} | {len(mine)} | {scored} | {record[operator]} |")
    return "\n".join(lines)


def _models(usage: UsageView) -> str:
    if not usage.models:
        return ""
    lines = [
        "## Models",
        "",
        "| model | calls | prompt | cached | completion | reasoning | USD |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, account in usage.models.items():
        lines.append(
            f"| {name} | {account.calls} | {account.prompt_tokens} | {account.cached_tokens} |"
            f" {account.completion_tokens} | {account.reasoning_tokens} | {_usd(account)} |"
        )
    return "\n".join(lines)


def _usd(account: Account | None) -> str:
    if account is None:
        return "-"
    return "unknown" if account.cost_usd is None else f"{account.cost_usd:.4f}"


def _agents(view: RunView, usage: UsageView) -> str:
    lines = [
        "## Agents",
        "",
        "| agent | attempts | best | tokens | USD | state |",
        "|---|---|---|---|---|---|",
    ]
    for agent in view.agents:
        mine = [a for a in view.attempts if a.agent == agent.agent]
        scores = [a.score for a in mine if a.score is not None]
        best = (min if view.minimize else max)(scores) if scores else None
        shown = "-" if best is None else f"{best:.10g}"
        account = usage.agents.get(AgentId(agent.agent))
        tokens = account.tokens if account is not None else "-"
        lines.append(
            f"| {agent.agent} | {len(mine)} | {shown} | {tokens} | {_usd(account)} |"
            f" {agent.state} |"
        )
    return "\n".join(lines)


def _failures(view: RunView) -> str:
    counts = Counter(a.status.value for a in view.attempts if a.status is not Status.SCORED)
    lines = ["## Without a score", ""]
    lines += [f"- {status}: {count}" for status, count in counts.most_common()] or ["None."]
    for attempt in view.attempts[::-1]:
        if attempt.verdict is not None and attempt.verdict.feedback and attempt.score is None:
            said = " ".join(attempt.verdict.feedback.split())[:160]
            lines.append(f"  - attempt {attempt.id} ({attempt.status.value}): {said}")
        if len(lines) > FAILURES_SHOWN + len(counts) + 1:
            break
    lines += [f"- warning: {text}" for text in warnings(view)]
    return "\n".join(lines)
