"""How a run looks on a terminal: the live display and `status --watch` draw the same panel."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from harness.cli.display import sparkline
from harness.cli.output import duration, format_score
from harness.text import visible

CURVE_COLUMNS = 60
ROWS_BESIDE_AGENTS = 8
"""Lines of the terminal that are left for what is not an agent."""


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent on the panel; `for_s` is how long it has been doing what it does."""

    agent: str
    state: str
    for_s: float | None
    directive: str
    attempts: int
    best: float | None
    doing: str
    used: str = ""
    role: str = ""
    focus: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """What is drawn: lines about the run, the curve, the agents, remarks below them."""

    head: Sequence[str]
    best: str
    curve: Sequence[float]
    agents: Sequence[AgentRow]
    remarks: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        for line in self.head:
            yield _line(line)
        if self.best:
            yield _line(self.best, "bold green")
        if self.curve:
            yield _line(sparkline(list(self.curve), min(CURVE_COLUMNS, width)), "cyan")
        room = max(4, options.size.height - ROWS_BESIDE_AGENTS - len(self.remarks))
        shown = self.agents[:room]
        yield _table(shown, width)
        if len(shown) < len(self.agents):
            yield _line(f"{len(self.agents) - len(shown)} agents more: harness status", "dim")
        for remark in self.remarks:
            yield _line(remark, "yellow")


COLUMNS: tuple[tuple[str, int, int | None], ...] = (
    ("agent", 0, 12),
    ("state", 0, 12),
    ("for", 0, 12),
    ("directive", 84, 18),
    ("attempts", 62, None),
    ("best", 74, None),
    ("used", 110, None),
    ("role", 150, 18),
    ("focus", 124, 30),
    ("doing", 0, None),
)
"""Name, terminal width from which it is shown, its own width at most. The last takes the rest."""


def _table(agents: Sequence[AgentRow], width: int) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    cells = [_cells(agent) for agent in agents]
    shown = [
        (name, most)
        for name, needed, most in COLUMNS
        if width >= needed and (needed == 0 or any(row[name] not in ("", "-") for row in cells))
    ]
    for name, most in shown:
        last = name == "doing"
        table.add_column(
            name, no_wrap=True, overflow="ellipsis", max_width=most, ratio=1 if last else None
        )
    for row in cells:
        table.add_row(*(Text(row[name]) for name, _ in shown))
    return table


def _cells(agent: AgentRow) -> dict[str, str]:
    return {
        "agent": agent.agent,
        "state": inline(agent.state),
        "for": "-" if agent.for_s is None else duration(max(0.0, agent.for_s)),
        "directive": agent.directive,
        "attempts": str(agent.attempts),
        "best": format_score(agent.best),
        "used": agent.used,
        "role": inline(agent.role),
        "focus": inline(agent.focus),
        "doing": inline(agent.doing),
    }


def inline(text: str) -> str:
    """Text that agents wrote, on one line and without what moves the cursor."""
    return " ".join(visible(text).split())


def _line(text: str, style: str = "") -> Text:
    return Text(inline(text) if "\n" in text else text, style, no_wrap=True, overflow="ellipsis")
