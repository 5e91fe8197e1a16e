"""A small real `AgentContext` for one agent: a sandbox, a repository, a journal in a folder.

For tests of agents, third-party ones included, without a run around them:

    async with open_context(folder, provider, seed={"x.txt": b"1"}, score=score) as context:
        await MyAgent().run(context)
        assert context.graph.best is not None

What happened is in `journal.jsonl`, so a context opened again on the same folder goes on from
there, as after a kill.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from harness.agents.base import AgentConfig, TaskView
from harness.agents.heartbeats.base import HeartbeatRule
from harness.attempt import Operator
from harness.ids import AgentId
from harness.sandbox.base import Mount, SandboxProvider, SandboxSpec
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules
from harness.sandbox.workspace import Workspace
from harness.testing.local_context import LocalContext
from harness.testing.number import DEFAULT_TASK, Score, number_score

__all__ = ["DEFAULT_TASK", "LocalContext", "Score", "number_score", "open_context"]

_AGENT = AgentId("agent-1")


@asynccontextmanager
async def open_context(
    folder: Path,
    provider: SandboxProvider,
    *,
    seed: Mapping[str, bytes] | None = None,
    score: Score = number_score,
    task: TaskView = DEFAULT_TASK,
    config: AgentConfig | None = None,
    operators: Sequence[Operator] = (Operator.IMPROVE,),
    rules: Sequence[HeartbeatRule] = (),
    tokens: int | None = None,
    agent: AgentId = _AGENT,
    executor: Executor | None = None,
    kind: type[LocalContext] = LocalContext,
    prompts: Sequence[Path] = (),
) -> AsyncGenerator[LocalContext]:
    """A context in `folder` (made if missing), with a sandbox of `provider`.

    Args:
        folder: Holds journal, repository, workspace and checkpoints.
        provider: Where commands run; the caller closes it.
        seed: Files of attempt 0; by default `x.txt` with a 1.
        score: Scores submitted files.
        task: What the agent is told.
        config: The agent's settings.
        operators: One directive for each, then the run is over.
        rules: Heartbeats.
        tokens: Budget of prompt and completion tokens together.
        agent: The agent's name.
        executor: Where blocking work is done; its own by default.
        kind: A subclass, to watch or break something.
        prompts: Folders with templates that stand in for the shipped ones.
    """
    pool = executor or ThreadPoolExecutor(4)
    workplace = folder / "workspace"
    workplace.mkdir(parents=True, exist_ok=True)
    path = folder / "attempts.git"
    repository = Repository.open(path) if path.exists() else Repository.create(path)
    mount = Mount(workplace, "/work", read_only=False)
    sandbox = await provider.create(SandboxSpec("agent", (mount,)))
    try:
        rules_of_tree = SubmissionRules(include=task.submission)
        workspace = Workspace(
            sandbox,
            repository,
            rules_of_tree,
            folder=workplace if provider.shares_files else None,
            owner=provider.owner,
            executor=pool,
        )
        context = kind(
            folder,
            provider=provider,
            sandbox=sandbox,
            workspace=workspace,
            repository=repository,
            score=score,
            task=task,
            config=config or AgentConfig(),
            operators=operators,
            rules=rules,
            tokens=tokens,
            agent=agent,
            prompts=prompts,
        )
        await context.begin(seed or {"x.txt": b"1\n"})
        yield context
        await context.endpoints.close()
    finally:
        await sandbox.close()
        repository.close()
        if executor is None:
            pool.shutdown(wait=False)
