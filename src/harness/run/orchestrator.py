"""One live run: seed, agents, ticker, end."""

import asyncio
from dataclasses import dataclass

from harness.agents.base import AgentConfig, NeedsEndpoint
from harness.attempt import Attempt, Operator, Status
from harness.errors import ModelRefusedError, ModelUnavailableError, UserError
from harness.evaluators.submission import submission_rules
from harness.events import EventKind
from harness.ids import SEED_AGENT, SEED_ATTEMPT
from harness.run import rows
from harness.run.attempts import Candidate
from harness.run.chronicle import Chronicle
from harness.run.commands import Commands
from harness.run.core import Core
from harness.run.evaluation import MAIN, Evaluations
from harness.run.holdout import Holdout
from harness.run.outages import worked_before
from harness.run.pulse import Pulse
from harness.run.store import Answer
from harness.run.submissions import quota_used
from harness.run.supervisor import MakeAgent, Supervisor, unreachable
from harness.run.team import Team
from harness.sandbox.scan import scan

TICK_S = 0.25
PULSE_EVERY_TICKS = 4
SESSION_EVERY_TICKS = 8
GRACE_S = 5.0
"""How long agents may take to return once the run is over and nothing is in flight."""


TOO_LATE = Answer("the run has ended", False, "a live run", "harness resume RUN goes on with it")
CUT_OFF = Answer(
    "the run was killed before it answered; this may be done or not",
    False,
    "a run that lives on",
    "look (harness status), then say it again",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    reason: str
    best: Attempt | None
    seed: Attempt
    evaluations: int
    tokens: int
    cost_usd: float | None
    wall_s: float
    error: BaseException | None


class Run:
    """A launch or a resume of a run, from its first evaluation to its end."""

    def __init__(
        self,
        core: Core,
        chronicle: Chronicle,
        evaluations: Evaluations,
        pulse: Pulse,
        make_agent: MakeAgent,
        holdout: Holdout,
    ) -> None:
        self.core = core
        self._holdout = holdout
        self._chronicle = chronicle
        self._evaluations = evaluations
        self._make_agent = make_agent
        self._pulse = pulse
        self._team = Team(core, Supervisor(core, chronicle, evaluations, make_agent))
        self._commands = Commands(core, self._team, pulse)
        # Obeyed by a process that was killed, perhaps: never twice.
        for command in core.store.take_commands():
            core.store.answer(command, CUT_OFF)
        self._session = core.store.accounts.begin_session()
        self._aborted = False

    def stop(self, reason: str = "stopped") -> None:
        """Drain: what is in flight is judged, nothing new starts."""
        self.core.ending.request(reason)

    async def abort(self) -> None:
        """End at once: evaluations in flight are dropped and a resume queues them again."""
        self.stop("aborted")
        self._aborted = True
        await self._evaluations.cancel()

    async def execute(self) -> Outcome:
        """Run to the end.

        Raises:
            UserError: No model endpoint answers, the evaluator fails on the seed, or the seed has
                no score.
            ModelRefusedError: The endpoint refuses the key.
        """
        core = self.core
        ticker = asyncio.create_task(self._tick(), name="ticker")
        ticker.add_done_callback(self._ticker_ended)
        try:
            await self._check_agents()
            await self._seed()
            await self._recover()
            if (spent := core.budget.spent()) is not None:
                core.ending.request(spent)
            await self._work()
            if not self._aborted:
                await self._holdout.score_champions()
        except asyncio.CancelledError:
            if not self._aborted:  # else an evaluation was waited for that `abort` dropped
                raise
        finally:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
            await self._evaluations.cancel()
            self._write_state(final=True)
        await self._distil()
        return self._outcome()

    async def _distil(self) -> None:
        try:
            await self._chronicle.distil()
        except Exception as error:  # supervision: the run is over and its results are safe
            self.core.store.event(EventKind.WARNING, text=f"memory not summed up: {error}")

    def _ticker_ended(self, ticker: asyncio.Task[None]) -> None:
        """Without it nobody obeys commands or keeps the time: the run must not go on unnoticed."""
        if not ticker.cancelled() and (error := ticker.exception()) is not None:
            self.core.ending.request("error", error)

    async def _check_agents(self) -> None:
        for config in self.core.config.agent_configs:
            agent = self._make_agent(config)
            if isinstance(agent, NeedsEndpoint):
                await self._check_agent(agent, config)

    async def _check_agent(self, agent: NeedsEndpoint, config: AgentConfig) -> None:
        store = self.core.store
        try:
            await agent.check()
        except (ModelUnavailableError, ModelRefusedError) as error:
            down = isinstance(error, ModelUnavailableError)
            if down and worked_before(store, config.choices):
                # A resume in an outage: agents wait for its end, as they would have without a kill.
                store.event(EventKind.WARNING, text=f"{error}; it answered before: agents wait")
                return
            self.core.ending.request("refused", error)
            if isinstance(error, ModelUnavailableError):
                raise unreachable(error) from error
            raise

    async def _seed(self) -> None:
        """Attempt 0: recorded once, evaluated first, counted."""
        core = self.core
        if SEED_ATTEMPT not in core.graph:
            await core.budget.admit()
            # The user's own folder: package managers link its files from their caches.
            files = await core.in_pool(
                scan, core.task.seed, submission_rules(core.task), hard_links=True
            )
            tree = await core.in_pool(core.repository.write_tree, files)
            commit = await core.in_pool(
                core.repository.commit, tree, [], "seed", SEED_AGENT, core.clock.now()
            )
            seed = core.store.attempts.submit(
                Candidate(commit, tree, SEED_AGENT, Operator.DRAFT, (), (), "seed", None, {}),
                key=None,
            )
            core.graph.put(seed)
            core.repository.set_ref(f"refs/attempts/{seed.id}", commit)
            self._evaluations.start(seed)
        elif core.graph[SEED_ATTEMPT].verdict is None:
            return  # a kill interrupted it: `_recover` evaluates it again
        self._check_seed(await self._evaluations.verdict_of(SEED_ATTEMPT))

    def _check_seed(self, seed: Attempt) -> None:
        if seed.status is Status.SCORED:
            return
        assert seed.verdict is not None
        detail = next((s.detail for s in reversed(seed.verdict.stages) if s.detail), "")
        # Of a traceback, the line that says what happened; the whole is in `task check`.
        said = (detail or seed.verdict.feedback).strip().rpartition("\n")[2].strip()
        self.core.ending.request("seed")
        if seed.status is Status.SANDBOX_LOST:
            raise UserError(
                f"the sandbox {self.core.capabilities.name!r} fails on the seed: {said}",
                expected="a sandbox that starts with the task's image and limits",
                action="harness doctor; check 'environment' and 'limits' in task.yaml",
            )
        if seed.status is Status.EVALUATOR_ERROR:
            raise UserError(
                f"the evaluator of task {self.core.task.name!r} fails on the seed: {said}",
                expected="a judge that answers for the task's own seed",
                action=f"harness task check {self.core.task.folder}",
            )
        raise UserError(
            f"the seed of task {self.core.task.name!r} has no score ({seed.status}): {said}",
            expected="a seed that runs and scores, so that agents have a start",
            action=f"harness task check {self.core.task.folder}",
        )

    async def _recover(self) -> None:
        """After a resume: interrupted evaluations, refs and memory records that a kill cut off."""
        core = self.core
        refs = await core.in_pool(core.repository.refs)
        wanted = {f"refs/attempts/{attempt.id}": attempt.commit for attempt in core.graph}
        if core.graph.best is not None:
            wanted[MAIN] = core.graph.best.commit
        for name, commit in wanted.items():
            if refs.get(name) != commit:
                core.repository.set_ref(name, commit)
        for judged in core.store.without_memory():
            await self._chronicle.finished(core.graph[judged])
        interrupted = [a for a in core.graph if a.status is Status.QUEUED]
        for attempt in interrupted:
            core.budget.readmit()
            self._evaluations.start(attempt)
        if any(attempt.id == SEED_ATTEMPT for attempt in interrupted):
            self._check_seed(await self._evaluations.verdict_of(SEED_ATTEMPT))

    async def _work(self) -> None:
        core, team = self.core, self._team
        team.start()
        self._pulse.attach(team)
        either = [asyncio.create_task(each) for each in (team.wait(), core.ending.wait())]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not core.ending:
                if team.all_crashed():
                    core.ending.request("agents_failed", team.error)
                spent = [quota_used(core, member.agent) for member in core.roster.active()]
                core.ending.request("quota" if any(spent) else "agents_ended")
            if not self._aborted:
                await self._evaluations.drain()
            # Agents that wait for a verdict return by themselves; one in a model call does not.
            await team.close(0.0 if self._aborted else GRACE_S)
        finally:
            for each in either:
                each.cancel()
            await team.close(0.0)
            await asyncio.gather(*either, return_exceptions=True)

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            for command in self.core.store.take_commands():
                self.core.store.answer(command, await self._commands.obey(command))
            if (spent := self.core.budget.spent()) is not None:
                self.core.ending.request(spent)
            if ticks % PULSE_EVERY_TICKS == 0:
                self._show_outages()
                self._pulse.tick(self.core.clock.now())
            if ticks % SESSION_EVERY_TICKS == 0:
                self._write_state()

    def _show_outages(self) -> None:
        """Agents that wait for an endpoint say so; one that goes on says what it does by itself."""
        core = self.core
        if not core.endpoints.outages():
            return
        for member in core.roster.active():
            model, state = core.roster.model(member.agent), core.agents.get(member.agent)
            waits = state is not None and state.state == "working" and model.name is not None
            outage = core.endpoints.outage(model) if waits else None
            if outage is not None:
                core.say(member.agent, "paused", f"waits for {outage.url}: {outage.reason}")

    def _write_state(self, *, final: bool = False) -> None:
        core = self.core
        core.store.accounts.session_wall(self._session, core.budget.session_s)
        core.store.agent_states(
            {
                agent: ("ended" if final else state.state, state.activity, state.since)
                for agent, state in core.agents.items()
            }
        )
        if final:
            for command in core.store.take_commands():
                core.store.answer(command, TOO_LATE)
            timings = {name: core.timings.seconds[name] for name in sorted(core.timings.seconds)}
            core.store.set_meta("timings", rows.dump(timings))
            # Last: from here on the run counts as ended.
            core.store.accounts.end_session(
                self._session,
                core.budget.session_s,
                core.ending.reason,
                core.budget.evaluations,
            )

    def _outcome(self) -> Outcome:
        core = self.core
        return Outcome(
            reason=core.ending.reason or "error",
            best=core.graph.best,
            seed=core.graph[SEED_ATTEMPT],
            evaluations=core.budget.evaluations,
            tokens=core.budget.tokens,
            cost_usd=core.budget.usd,
            wall_s=core.budget.wall_s,
            error=core.ending.error,
        )
