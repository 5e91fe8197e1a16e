"""The live display of a terminal."""

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.attempt import Attempt
from harness.cli.display import named_directive, summary
from harness.cli.output import duration, format_score, money
from harness.cli.panel import AgentRow, Panel
from harness.ids import AgentId
from harness.run.budget import format_budget
from harness.run.core import AgentState
from harness.run.orchestrator import Outcome, Run

REFRESH_PER_S = 4


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
        self._live.update(self._panel(), refresh=True)

    def ended(self, outcome: Outcome) -> None:
        self.close()
        self._console.print(Text(summary(self._run, outcome)), soft_wrap=True)

    def close(self) -> None:
        self._live.stop()

    def _panel(self) -> Panel:
        core = self._run.core
        best = core.graph.best
        budget = core.budget
        used = f"{budget.evaluations} evaluations in {duration(budget.wall_s)}"
        spent = money(budget.usd, budget.tokens)
        return Panel(
            head=(
                core.folder.id,
                f"{used}, {spent}; budget {format_budget(budget.limits)}",
            ),
            best=""
            if best is None
            else f"best {format_score(best.score)}   attempt {best.id} by {best.agent}",
            curve=self._curve,
            agents=[self._row(agent, state) for agent, state in core.agents.items()],
            remarks=self._remarks(),
        )

    def _remarks(self) -> list[str]:
        core = self._run.core
        if core.ending:
            return [f"ending: {core.ending.reason}"]
        still = core.pauses.everyone
        return [f"paused {still}: harness resume {core.folder.id}"] if still else []

    def _row(self, agent: AgentId, state: AgentState) -> AgentRow:
        core = self._run.core
        reached = core.standings.agent(agent)
        directive = core.directive_of.get(agent)
        member = core.roster[agent]
        return AgentRow(
            agent=agent,
            state=state.state,
            for_s=core.clock.now() - state.since,
            directive=named_directive(directive.operator, directive.base, directive.references)
            if directive is not None
            else "",
            attempts=reached.evaluations,
            best=reached.best_score,
            doing=state.activity,
            role=member.role,
            focus=member.focus,
        )
