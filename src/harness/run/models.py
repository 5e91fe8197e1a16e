"""Which model a directive is given to, where there are several; the journal has the reasons."""

from harness.agents.bandit import Pull, arms, choose
from harness.attempt import Attempt
from harness.events import EventKind
from harness.ids import AgentId, AttemptId
from harness.run.roster import Roster
from harness.run.store import Store
from harness.search.graph import AttemptGraph


class ModelChooser:
    """A bandit over the agent's models: see `harness.agents.bandit`. Its history is the store's."""

    def __init__(self, store: Store, graph: AttemptGraph, roster: Roster) -> None:
        self._store = store
        self._graph = graph
        self._roster = roster

    def choose(self, agent: AgentId, directive: int) -> str | None:
        """The model for an agent's directive, by its arm's name; None without any."""
        choices = self._roster.choices(agent)
        names = arms(choices)
        chosen = names[0] or None
        if len(choices) > 1:
            pulls, pending = self._history()
            choice = choose(names, list(pulls.values()), pending)
            chosen = names[choice.index]
            scores = {
                name: round(score, 6) if score != float("inf") else None
                for name, score in zip(names, choice.scores, strict=True)
            }
            self._store.event(
                EventKind.MODEL_CHOICE,
                agent=agent,
                directive=directive,
                model=chosen,
                scores=scores,
            )
        self._roster.choose(agent, chosen)
        return chosen

    def reward(self, agent: AgentId) -> None:
        """Journal what the agent's directive, which is about to be closed, brought and cost."""
        if len(self._roster.choices(agent)) == 1:
            return
        number = self._store.directives.number_of(agent)
        if number is None:
            return
        pull = self._history(number)[0].get(number)
        if pull is not None:
            self._store.event(
                EventKind.MODEL_CHOICE,
                agent=agent,
                directive=number,
                model=pull.arm,
                gain=pull.gain,
                tokens=pull.tokens,
                cost_usd=pull.cost_usd,
            )

    def _history(self, open_too: int | None = None) -> tuple[dict[int, Pull], list[str]]:
        """Pulls of the directives that are over (and of `open_too`), and what is pending."""
        best = self._best_of_directives()
        accounts = self._store.accounts.by_directive()
        pulls: dict[int, Pull] = {}
        pending: list[str] = []
        for number, model, base, closed in self._store.directives.models():
            if not closed and number != open_too:
                pending.append(model)
                continue
            account = accounts.get(number)
            pulls[number] = Pull(
                model,
                self._gain(base, best.get(number)),
                account.tokens if account is not None else 0,
                account.cost_usd if account is not None else 0.0,
            )
        return pulls, pending

    def _best_of_directives(self) -> dict[int, Attempt]:
        best: dict[int, Attempt] = {}
        for attempt in self._graph:
            if attempt.score is None or attempt.directive is None:
                continue
            before = best.get(attempt.directive)
            if before is None or self._above(attempt, before) > 0:
                best[attempt.directive] = attempt
        return best

    def _gain(self, base: AttemptId, best: Attempt | None) -> float:
        """How far the directive's best is above its base, or that one's last scored ancestor."""
        if best is None:
            return 0.0
        scored = (self._graph[each] for each in self._graph.lineage(base))
        other = next((each for each in scored if each.score is not None), None)
        return max(0.0, self._above(best, other)) if other is not None else 0.0

    def _above(self, attempt: Attempt, other: Attempt) -> float:
        assert attempt.score is not None
        assert other.score is not None
        difference = attempt.score - other.score
        return difference if self._graph.direction == "maximize" else -difference
