"""The sandbox of an agent, with the way out that is configured and the record of where it led."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from harness.evaluators.folders import own_folder
from harness.events import EventKind
from harness.ids import AgentId
from harness.run.core import Core
from harness.sandbox.base import Mount, Sandbox, SandboxSpec
from harness.sandbox.egress.sandbox import EgressSandbox, open_egress

MAX_TOLD = 500
"""Hosts of one agent's life in the journal: their names are the agent's words."""


@asynccontextmanager
async def agent_sandbox(
    core: Core, agent: AgentId, knowledge: tuple[Mount, ...]
) -> AsyncGenerator[Sandbox]:
    """A sandbox with the agent's workspace; it ends with the block.

    Raises:
        SandboxUnavailableError: It cannot be had.
    """
    folder = core.folder.workspaces / agent
    folder.mkdir(parents=True, exist_ok=True)
    async with _egress(core, agent) as egress:
        way_out = () if egress is None else (egress,)
        sandbox = await core.provider.create(
            SandboxSpec(
                purpose="agent",
                mounts=(Mount(folder, "/work", read_only=False), *knowledge, *way_out),
                limits=core.config.sandbox.limits,
                labels={"harness.run": core.folder.id, "harness.agent": agent},
                image=core.environment.image,
                python=core.environment.python,
            )
        )
        try:
            yield sandbox if egress is None else EgressSandbox(sandbox)
        finally:
            await sandbox.close()


@asynccontextmanager
async def _egress(core: Core, agent: AgentId) -> AsyncGenerator[Mount | None]:
    """What an agent's sandbox needs for the proxy; None where no hosts are configured."""
    config = core.config.sandbox.egress
    if not config.hosts:
        yield None
        return
    known: set[tuple[str, bool]] = set()

    def told(target: str, allowed: bool, why: str) -> None:
        if (target, allowed) not in known and len(known) < MAX_TOLD:
            known.add((target, allowed))
            data = {"target": target[:300], "allowed": allowed, "why": why[:300]}
            core.store.event(EventKind.EGRESS, agent=agent, **data)

    with own_folder() as folder:
        async with open_egress(folder, config, told) as mount:
            yield mount
