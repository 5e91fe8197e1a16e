"""The live display of a terminal."""

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.attempt import Attempt
from harness.cli.display import sparkline, summary
from harness.cli.output import duration, format_score, money
from harness.run.budget import format_budget
from harness.run.orchestrator import Outcome, Run

REFRESH_PER_S = 4
CURVE_COLUMNS = 60


class LiveDisplay:
    """Agents, what each does and since when, the best score, the curve, what was spent."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._curve: list[float] = []

    def started(self, run: Run) -> None:
        self._run = run
        self._live.start()
        self.tick()

    def judged(self, attempt: Attempt) -> None:
        best = self._run.core.graph.best
        if best is not None and best.score is not None:
            self._curve.append(best.score)

    def tick(self) -> None:
        self._live.update(self._render(), refresh=True)

    def ended(self, outcome: Outcome) -> None:
        self.close()
        self._console.print(Text(summary(self._run, outcome)), soft_wrap=True)

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> Group:
        core = self._run.core
        best = core.graph.best
        head = Text(
            f"{core.folder.id}   {core.budget.evaluations} evaluations   "
            f"{duration(core.budget.wall_s)}   budget {format_budget(core.budget.limits)}   "
            f"{money(core.budget.usd, core.budget.tokens)}"
        )
        score = Text()
        if best is not None:
            score.append(f"best {format_score(best.score)}", style="bold green")
            score.append(f"   attempt {best.id} by {best.agent}   ")
        if self._curve:
            score.append(sparkline(self._curve, CURVE_COLUMNS), style="cyan")
        table = Table(box=None, pad_edge=False, expand=True)
        for column in ("agent", "state", "for", "attempts", "best", "doing"):
            table.add_column(column, no_wrap=True, overflow="ellipsis")
        now = core.clock.now()
        for agent, state in core.agents.items():
            view = core.standings.agent(agent)
            table.add_row(
                agent,
                state.state,
                duration(max(0.0, now - state.since)),
                str(view.evaluations),
                format_score(view.best_score),
                Text(state.activity),
            )
        ending = [Text(f"ending: {core.ending.reason}", style="yellow")] if core.ending else []
        return Group(head, score, table, *ending)
