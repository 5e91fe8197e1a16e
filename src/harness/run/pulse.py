"""Delivers and journals what the heartbeat rules ask for."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from harness.agents.heartbeats.base import (
    AgentView,
    AttemptView,
    Firing,
    HeartbeatRule,
    Intervention,
    Mark,
    TeamView,
)
from harness.agents.heartbeats.rules import Judgement, check_rules, evaluate_rules
from harness.agents.heartbeats.similarity import Similarity
from harness.agents.text import fence
from harness.attempt import Attempt, Status
from harness.errors import StoreError
from harness.events import EventKind
from harness.ids import AgentId, AttemptId, TreeHash
from harness.run.acts import Acts, Lifecycle
from harness.run.budget import format_budget
from harness.run.config import RunConfig
from harness.run.core import Core
from harness.run.interventions import Entry, Fired, Note, Scores
from harness.run.rules import heartbeat_rules, prompt_folders
from harness.run.standings import Standings
from harness.run.vitals import BUSY, GONE, Seen, Vitals

__all__ = ["Lifecycle", "Pulse"]

NOTE_CHARACTERS = 4000
_CRASHES_KEPT_S = 86_400.0


class Pulse:
    """Asks the rules after each verdict and as time passes, and queues what fires.

    **Counting**: verdicts are read from the journal, in its order, each once: how far it was read
    is written with what fired, in one transaction. So it does not matter in which order, how many
    at a time, or whether at all `after` is called, nor where a kill strikes. What the rules count
    is of the same moment, not of what other verdicts have come since.
    **Thread**: belongs to the event loop.
    """

    def __init__(self, core: Core, rules: Sequence[HeartbeatRule]) -> None:
        self._core = core
        self._table = core.store.interventions
        self._vitals = Vitals(core.clock)
        self._acts = Acts(core)
        self._standings = Standings(core.task.direction)
        self._crashes: dict[AgentId, list[float]] = {}
        self._problems: dict[str, str] = {}
        self._similarity = Similarity(self._changes)
        self._folders = prompt_folders(core.task.folder, core.config.agent)
        self._marks = self._table.marks()
        self._rules: tuple[HeartbeatRule, ...] = ()
        handled = self._table.handled()
        if handled is None or not self._table.rules():
            handled = self._table.last_entry()  # nobody counted so far: nothing is caught up on
        self._handled = handled
        self._notes = 0
        for entry in self._table.entries():
            if entry.sequence > self._handled:
                break
            self._learn(entry)
        self.replace(rules)

    @property
    def rules(self) -> tuple[HeartbeatRule, ...]:
        """The rules in force."""
        return self._rules

    def attach(self, lifecycle: Lifecycle) -> None:
        """Who performs what rules ask of the run; what a kill left undone is done now."""
        self._acts.attach(lifecycle, self._rules, self.view())

    def configure(self, config: RunConfig) -> None:
        """Take the rules from a new configuration.

        Raises:
            ConfigurationError: One of them cannot be used; nothing is changed.
        """
        self.replace(heartbeat_rules(config))

    def replace(self, rules: Sequence[HeartbeatRule]) -> None:
        """Put other rules in force; journalled.

        A rule that is new, or counts otherwise than before, counts from now on.

        Raises:
            ConfigurationError: One of them cannot be used; nothing is changed.
        """
        check_rules(rules, self._folders)
        saved = self._table.rules()
        before = {each["rule"]["name"]: each for each in saved or ()}
        self._standings.watch(rule.epsilon for rule in rules)
        documents: list[dict[str, Any]] = []
        for rule in rules:
            document = rule.model_dump(mode="json", exclude_defaults=True)
            old = before.get(rule.name)
            if old is not None and _counting(old["rule"]) == _counting(document):
                since = old["since"]
            elif saved is None:
                since = {}
            else:
                since = self._counts()
            documents.append({"rule": document, "since": since})
        if documents != saved:
            self._table.adopt(documents, handled=self._handled)
        self._rules = tuple(rules)
        self._marks = _based(self._table.marks(), documents)

    def after(self, attempt: Attempt) -> None:
        """An attempt was judged; all verdicts that have not been looked at are, in order."""
        self._catch_up(self._core.clock.now())

    def tick(self, now: float) -> None:
        """Time has passed; `now` in seconds since the epoch. Called about once a second."""
        self._catch_up(now)
        self._relay()
        if self._rules and not self._core.ending:
            team = self.view(now)
            judged = self._judge(team, now)
            if judged.firings:
                self._fire(judged.firings, team)

    def _relay(self) -> None:
        """Pass on the notes that rules asked for, which their writers marked with the key."""
        awaited = self._table.awaited()
        if not awaited:
            return
        for note in self._table.notes(self._notes):
            self._notes = note.id
            said = f"{note.title}\n{note.text}"
            for fired, agent in awaited:
                if agent == note.agent and _names(said, fired.key):
                    self._pass_on(fired, note, said)

    def _pass_on(self, fired: Fired, note: Note, said: str) -> None:
        others = [each.agent for each in self.view().active if each.agent != note.agent]
        named = [each for each in others if _names(said, each)]
        text = (
            f"[heartbeat: {fired.rule}]\n{note.agent} has looked back for the team:"
            f" {fired.reason}. Its note:\n{fence(said, 'note', NOTE_CHARACTERS)}\n"
            "Where it speaks of you, weigh it against what you know, and change your course if it"
            " is right."
        )
        messages = [Intervention(fired.rule, to, fired.reason, text) for to in named or others]
        self._table.relayed(fired.id, note.record, messages, self._counts())

    def view(self, now: float | None = None) -> TeamView:
        """The team as rules see it now."""
        core = self._core
        now = core.clock.now() if now is None else now
        members = [member.agent for member in core.roster.active()]
        return replace(
            self._standings.team(_Agents(members, lambda agent: self._agent(agent, now))),
            budget_used=core.budget.progress(),
            limits=format_budget(core.budget.limits),
            evaluations_left=core.budget.view().evaluations_left,
            alike=self._similarity,
            count=sum(
                agent not in core.agents or core.agents[agent].state not in GONE
                for agent in members
            ),
        )

    def _agent(self, agent: AgentId, now: float) -> AgentView:
        core, member = self._core, self._core.roster[agent]
        state = core.agents.get(agent)
        seen = Seen("starting", "", 0.0)
        if state is not None:
            seen = Seen(state.state, state.activity, state.since)
        if core.pauses.of(agent) is not None:
            seen = seen._replace(state="paused")
        idle_s, silent_s = self._vitals.look(agent, seen)
        busy = BUSY.get(seen.state, "")
        directive = core.directive_of.get(agent)
        return replace(
            self._standings.agent(agent),
            role=member.role,
            focus=member.focus,
            operator=directive.operator.value if directive is not None else "",
            base=directive.base if directive is not None else "",
            active=member.retired_at is None and seen.state not in GONE,
            state=seen.state,
            activity=seen.activity,
            state_s=idle_s,
            busy=busy,
            busy_s=idle_s if busy else 0.0,
            busy_limit_s=state.limit_s if state is not None and busy else None,
            idle_s=idle_s,
            silent_s=silent_s,
            crash_ages=tuple(now - at for at in self._crashes.get(agent, ())),
        )

    def _catch_up(self, now: float) -> None:
        for entry in self._table.entries(self._handled):
            attempt = self._learn(entry)
            self._handled = entry.sequence
            if attempt is None:
                continue
            self._vitals.sign(attempt.agent)
            if entry.kind == "verdict" and self._rules:
                # The others stand as they stood; as time passes, `tick` asks about them.
                team = self.view(now)
                known = attempt.agent in self._core.roster
                author = [self._agent(attempt.agent, now)] if known else []
                self._fire(self._judge(team, now, author).firings, team)

    def _learn(self, entry: Entry) -> Attempt | None:
        """Count a line of the journal; the attempt it is about."""
        if entry.kind == "crash":
            crashes = self._crashes.setdefault(AgentId(entry.agent or ""), [])
            crashes.append(entry.at)
            while crashes[0] < entry.at - _CRASHES_KEPT_S:
                crashes.pop(0)
            return None
        attempt = self._core.graph[AttemptId(entry.attempt or "")]
        if entry.kind == "verdict" or attempt.status is Status.DUPLICATE:
            self._standings.observe(attempt)
        return attempt

    def _judge(
        self, team: TeamView, now: float, only: Sequence[AgentView] | None = None
    ) -> Judgement:
        judged = evaluate_rules(
            self._rules, team, self._marks, now, only=only, folders=self._folders
        )
        for name, problem in judged.problems.items():
            if self._problems.get(name) != problem:
                self._problems[name] = problem
                text = f"the condition of the heartbeat rule {name!r} counts as not met: {problem}"
                self._core.store.event(EventKind.WARNING, text=text)
        return judged

    def _fire(self, firings: Sequence[Firing], team: TeamView) -> None:
        """Journal, queue and note how far the journal was read, then see to what is the run's."""
        recorded = [
            (
                each,
                Scores(self._best(each.subject, team), team.evaluations, team.best_score),
            )
            for each in firings
        ]
        numbers = self._table.record(recorded, evaluations=self._counts(), handled=self._handled)
        for number, firing in zip(numbers, firings, strict=True):
            rule = firing.rule
            self._marks[rule.name, firing.subject] = firing.mark
            for intervention in firing.interventions:
                if intervention.urgent:
                    self._core.urgency(AgentId(intervention.agent)).set()
            targets = tuple(AgentId(each) for each in firing.targets)
            fired = Fired(number, rule.name, firing.key, firing.reason, rule.action, targets)
            self._acts.perform(fired, rule, team)

    def _best(self, subject: str, team: TeamView) -> float | None:
        return self._standings.agent(AgentId(subject)).best_score if subject else team.best_score

    def _counts(self) -> dict[str, int]:
        """Evaluations of each agent, and under the empty name of the team."""
        counts: dict[str, int] = {"": self._standings.evaluations()}
        for agent in self._standings.agents:
            counts[agent] = self._standings.evaluations(agent)
        return counts

    def _changes(self, attempt: AttemptView) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
        core = self._core
        base = core.graph[AttemptId(attempt.base)].tree if attempt.base else None
        try:
            if base is not None:
                return core.repository.changed(base, TreeHash(attempt.tree))
        except StoreError as error:
            core.store.event(EventKind.WARNING, text=f"attempt {attempt.id}: {error}")
        return {}, {"": attempt.tree.encode()}  # like no other


class _Agents(Sequence[AgentView]):
    """The agents' views, made when somebody looks: few verdicts concern the whole team."""

    def __init__(self, names: Sequence[AgentId], view: Callable[[AgentId], AgentView]) -> None:
        self._names = names
        self._view = view
        self._made: tuple[AgentView, ...] | None = None

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> AgentView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[AgentView]: ...
    def __getitem__(self, index: int | slice) -> AgentView | Sequence[AgentView]:
        if self._made is None:
            self._made = tuple(self._view(name) for name in self._names)
        return self._made[index]


def _counting(document: Mapping[str, Any]) -> tuple[object, ...]:
    """What decides when a rule of the store is due by counts."""
    return tuple(document.get(key) for key in ("trigger", "scope", "every"))


def _based(
    marks: Mapping[tuple[str, str], Mark], documents: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], Mark]:
    """The marks, none of an interval earlier than its rule came into force."""
    found = dict(marks)
    for document in documents:
        rule = document["rule"]
        if rule["trigger"] == "interval":
            for subject, count in document["since"].items():
                mark = found.get((rule["name"], subject), Mark(0))
                later = replace(mark, evaluations=max(mark.evaluations, count))
                found[rule["name"], subject] = later
    return found


def _names(text: str, word: str) -> bool:
    """Whether a text holds a name such as `agent-1` by itself, not within `agent-10`."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w]|-\w)", text) is not None
