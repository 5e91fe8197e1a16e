"""`harness status`: once, or followed to the end of the run."""

import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import Parameter

from harness.attempt import Operator
from harness.cli.display import named_directive, sparkline
from harness.cli.output import (
    JsonFlag,
    RunsDir,
    duration,
    format_score,
    money,
    print_json,
    print_record,
    print_table,
    runs_folder,
)
from harness.run.budget import format_budget
from harness.run.folder import find_run
from harness.run.status import AgentReport, Happening, OpenDirective, RunStatus, StatusReader
from harness.run.views import status_document
from harness.text import visible

WATCH_S = 1.0
CURVE_COLUMNS = 60
REMARKS = 4
"""So many of the last heartbeats and events are told."""


def status(
    run: Annotated[str, Parameter(help="A run's folder, its id, or latest.")] = "latest",
    *,
    watch: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Follow until the run ends; off a terminal a block, with --json a line, at each"
            " change.",
        ),
    ] = False,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """What a run and its agents are doing."""
    reader = StatusReader(find_run(run, runs_folder(runs_dir)))
    if not watch:
        found = reader.read()
        if json:
            print_json(status_document(found))
        else:
            print_status(found)
    elif json:
        for found in _changes(reader):
            print_record(status_document(found))
    elif sys.stdout.isatty():
        _watch_on_terminal(reader)
    else:
        for number, found in enumerate(_changes(reader)):
            if number:
                print()
            print_status(found)
            sys.stdout.flush()


def _changes(reader: StatusReader) -> Iterator[RunStatus]:
    """A look a second; those that show something new, the last one in any case."""
    before: Any = None
    while True:
        found = reader.read()
        running = found.state == "running"
        now = _without_clocks(status_document(found))
        if now != before or not running:
            yield found
        if not running:
            return
        before = now
        time.sleep(WATCH_S)


def _without_clocks(document: dict[str, Any]) -> dict[str, Any]:
    """What changes by itself is no change."""
    left = {**document["budget_left"], "hours": None}
    return document | {"wall_s": None, "rate_per_hour": None, "budget_left": left}


def _watch_on_terminal(reader: StatusReader) -> None:
    from rich.live import Live

    from harness.cli.panel import Panel

    found = reader.read()
    with Live(Panel((), "", (), ()), auto_refresh=False, transient=True) as live:
        while found.state == "running":
            live.update(_panel(found), refresh=True)
            time.sleep(WATCH_S)
            found = reader.read()
    print_status(found)


def _panel(found: RunStatus) -> Any:
    from harness.cli.panel import AgentRow, Panel

    return Panel(
        head=_head(found),
        best=_best(found),
        curve=found.best_so_far(CURVE_COLUMNS),
        agents=[
            AgentRow(
                agent=agent.agent,
                state=agent.state,
                for_s=found.at - agent.since,
                directive=directive_text(agent.directive),
                attempts=agent.attempts,
                best=agent.best,
                doing=agent.activity,
                used=_used(agent),
                role=agent.role,
                focus=agent.focus,
            )
            for agent in found.agents
        ],
        remarks=_remarks(found),
    )


def print_status(found: RunStatus) -> None:
    """A status as plain text."""
    for line in [*_head(found), _best(found)]:
        if line:
            print(line)
    if len(found.curve) > 1:
        print(f"  curve       {sparkline(found.best_so_far(CURVE_COLUMNS), CURVE_COLUMNS)}")
    if found.state == "interrupted" or found.paused:
        print(f"  to go on    harness resume {found.folder.id}")
    if found.agents:
        print()
        _print_agents(found)
    remarks = _remarks(found)
    if remarks:
        print()
        for remark in remarks:
            print(remark)


def _head(found: RunStatus) -> list[str]:
    reason = f" ({found.reason})" if found.reason and found.state == "ended" else ""
    paused = f", paused {found.paused}" if found.paused else ""
    lines = [
        f"{found.folder.id}: {found.state}{reason}{paused}, task {found.task}",
        f"  evaluations {found.evaluations} of {format_budget(found.config.budget)}",
        f"  wall time   {duration(found.wall_s)}, {money(found.cost_usd, found.tokens)}",
    ]
    rate = "-" if found.rate_per_hour is None else f"{found.rate_per_hour:.0f} an hour"
    left = _left(found)
    lines.append(f"  rate        {rate}" + (f"; left: {left}" if left else ""))
    return lines


def _left(found: RunStatus) -> str:
    left = found.budget_left()
    parts: list[str] = []
    if (evaluations := left["evaluations"]) is not None:
        parts.append(f"{evaluations:.0f} evaluations")
    if (hours := left["hours"]) is not None:
        parts.append(duration(hours * 3600))
    if (tokens := left["tokens"]) is not None:
        parts.append(f"{tokens:,.0f} tokens")
    if (usd := left["usd"]) is not None:
        parts.append(f"{usd:.2f} USD")
    elif found.config.budget.usd is not None:
        parts.append("USD unknown")
    return ", ".join(parts)


def _best(found: RunStatus) -> str:
    best = found.best
    if best is None:
        return ""
    front = f"; {len(found.front)} on the Pareto front" if found.front is not None else ""
    return (
        f"  best        {format_score(best.score)}, attempt {best.attempt} by {best.agent}{front}"
    )


def _print_agents(found: RunStatus) -> None:
    live = found.state == "running"
    rows = [
        {
            "agent": agent.agent,
            "state": agent.state if live else found.state,
            "for": duration(max(0.0, found.at - agent.since)) if live else "-",
            "directive": directive_text(agent.directive),
            "attempts": str(agent.attempts),
            "best": format_score(agent.best),
            "used": _used(agent),
            "model": agent.model or "",
            "role": _short(agent.role),
            "focus": _short(agent.focus),
            "doing": visible(agent.activity),
        }
        for agent in found.agents
    ]
    optional = ("directive", "used", "model", "role", "focus")
    names = [name for name in rows[0] if name not in optional or any(row[name] for row in rows)]
    print_table(names, [[row[name] for name in names] for row in rows])


def directive_text(directive: OpenDirective | None) -> str:
    """`improve 17`, `fuse 17 + 4`: operator, base, references."""
    if directive is None:
        return ""
    return named_directive(Operator(directive.operator), directive.base, directive.references)


def _used(agent: AgentReport) -> str:
    if agent.tokens == 0:
        return ""
    cost = "? USD" if agent.cost_usd is None else f"{agent.cost_usd:.2f} USD"
    return f"{agent.tokens:,} tokens, {cost}"


def _remarks(found: RunStatus) -> list[str]:
    """The latest heartbeats and events, oldest first."""
    both = [(h.at, _remark(f"heartbeat {h.kind}", h)) for h in found.heartbeats[:REMARKS]]
    both += [(e.at, _remark(e.kind, e)) for e in found.events[:REMARKS]]
    return [text for _, text in sorted(both)][-REMARKS:]


def _remark(kind: str, what: Happening) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(what.at))
    whom = f" {what.agent}" if what.agent else ""
    return f"{clock}  {kind}{whom}: {_short(what.text, 160)}"


def _short(text: str, characters: int = 40) -> str:
    text = " ".join(visible(text).split())
    return text if len(text) <= characters else text[: characters - 1] + "…"
