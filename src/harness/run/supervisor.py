"""Keeps one agent alive: its sandbox, its workspace, its restarts."""

import asyncio
from collections.abc import Callable

from harness.agents.base import Agent
from harness.errors import (
    BudgetExhaustedError,
    HarnessError,
    InfrastructureError,
    ModelRefusedError,
    ModelUnavailableError,
    SandboxUnavailableError,
    UserError,
)
from harness.evaluators.submission import submission_rules
from harness.events import EventKind
from harness.ids import AgentId
from harness.run.chronicle import Chronicle
from harness.run.context import KNOWLEDGE, RunContext
from harness.run.core import Core
from harness.run.evaluation import Evaluations
from harness.sandbox.base import Mount, Sandbox, SandboxSpec
from harness.sandbox.workspace import Workspace

MAX_CRASHES = 3
BACKOFF_S = (1.0, 5.0)
"""Pause before each restart."""

OUTAGE_PAUSE_S = 15.0
"""Pause of an agent whose model endpoint or sandbox provider stopped answering."""

HEALTHY_S = 600.0
"""An agent that lived so long before a crash is not in a loop of crashes."""

CRASHED = "crashed"


class Supervisor:
    """Runs one agent to the end of the run. One agent's death never stops the run."""

    def __init__(
        self,
        core: Core,
        chronicle: Chronicle,
        evaluations: Evaluations,
        make_agent: Callable[[], Agent],
    ) -> None:
        self._core = core
        self._chronicle = chronicle
        self._evaluations = evaluations
        self._make_agent = make_agent
        self.error: Exception | None = None
        """The last crash: why the run failed, if it does."""

    async def run(self, agent: AgentId) -> None:
        """Until the run is over or the agent has crashed too often."""
        core = self._core
        crashes = 0
        while not core.ending:
            born = core.clock.monotonic()
            try:
                await self._life(agent)
            except BudgetExhaustedError as error:
                core.ending.request(error.budget)
                core.say(agent, "ended", str(error))
                return
            except SandboxUnavailableError as error:
                # The daemon restarts, the machine is short of memory: neither is the agent's fault.
                self._report(agent, crashes, error)
                core.say(agent, "paused", str(error))
                await asyncio.sleep(OUTAGE_PAUSE_S)
            except ModelUnavailableError as error:
                if core.budget.tokens == 0:
                    self._refuse(agent, unreachable(error))
                    return
                # It answered before: an outage. The agent's work is checkpointed, so it can wait.
                core.say(agent, "paused", str(error))
                await asyncio.sleep(OUTAGE_PAUSE_S)
            except (ModelRefusedError, UserError) as error:
                self._refuse(agent, error)
                return
            except Exception as error:  # supervision: whatever an agent raises, the run goes on
                healthy = core.clock.monotonic() - born > HEALTHY_S
                crashes = 1 if healthy else crashes + 1
                self.error = error
                self._report(agent, crashes, error)
                if crashes == MAX_CRASHES or _deliberate(error):
                    core.say(agent, CRASHED, core.agents[agent].activity)
                    return
                await asyncio.sleep(BACKOFF_S[crashes - 1])
            else:
                break
        core.say(agent, "ended", "")

    def _refuse(self, agent: AgentId, error: HarnessError) -> None:
        self._core.ending.request("refused", error)
        self._core.say(agent, CRASHED, str(error).splitlines()[0])

    async def _life(self, agent: AgentId) -> None:
        core = self._core
        core.say(agent, "starting", "sandbox")
        folder = core.folder.workspaces / agent
        folder.mkdir(parents=True, exist_ok=True)
        sandbox = await core.provider.create(
            SandboxSpec(
                purpose="agent",
                mounts=(Mount(folder, "/work", read_only=False), *self._knowledge()),
                limits=core.config.sandbox.limits,
                labels={"harness.run": core.folder.id, "harness.agent": agent},
                image=core.task.file.environment.image,
                python=core.python,
            )
        )
        try:
            context = RunContext(
                core,
                agent,
                sandbox,
                self._workspace(sandbox, agent),
                self._chronicle,
                self._evaluations,
            )
            await context.restore()
            await self._make_agent().run(context)
        finally:
            await sandbox.close()

    def _knowledge(self) -> tuple[Mount, ...]:
        folder = self._core.task.knowledge
        return () if folder is None else (Mount(folder, KNOWLEDGE),)

    def _workspace(self, sandbox: Sandbox, agent: AgentId) -> Workspace:
        core = self._core
        return Workspace(
            sandbox,
            core.repository,
            submission_rules(core.task),
            folder=core.folder.workspaces / agent if core.provider.shares_files else None,
            owner=core.provider.owner,
            executor=core.executor,
        )

    def _report(self, agent: AgentId, crash: int, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self._core.say(agent, "restarting", text)
        self._core.store.event(EventKind.WARNING, agent=agent, crashes=crash, text=text)


def unreachable(error: ModelUnavailableError) -> UserError:
    """An endpoint that never answered is the user's to correct."""
    return UserError(
        str(error),
        expected="an OpenAI-compatible endpoint that answers",
        action="check OPENAI_BASE_URL and that the server is up: harness doctor",
    )


def _deliberate(error: Exception) -> bool:
    """An agent that says it cannot go on would say so again."""
    return isinstance(error, HarnessError) and not isinstance(error, InfrastructureError)
