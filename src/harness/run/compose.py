"""Composes a live run out of its parts."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from harness.agents.base import Agent, AgentConfig
from harness.agents.registry import make_agent
from harness.clock import Clock
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.environments import prepare_environments
from harness.evaluators.hidden import holdout_context
from harness.evaluators.open import make_pool
from harness.evaluators.place import remove_folder
from harness.evaluators.pool import EvaluatorPool
from harness.events import EventKind
from harness.memory.open import open_memory
from harness.run.budget import Budget
from harness.run.checks import check_egress, check_isolation
from harness.run.chronicle import Chronicle
from harness.run.commands import PAUSED
from harness.run.config import RunConfig, read_saved, save_config
from harness.run.core import Core
from harness.run.evaluation import Evaluations
from harness.run.folder import RunFolder, RunLock
from harness.run.holdout import Holdout
from harness.run.models import ModelChooser
from harness.run.novelty import Novelty
from harness.run.objectives import objectives_of
from harness.run.orchestrator import Run
from harness.run.outages import open_endpoints, watch_provider
from harness.run.pauses import Pauses
from harness.run.pulse import Pulse
from harness.run.roster import Roster
from harness.run.rules import heartbeat_rules
from harness.run.standings import Standings, finished_in_order
from harness.run.store import Store
from harness.sandbox.providers import open_provider
from harness.sandbox.repository import Repository
from harness.search.graph import AttemptGraph
from harness.search.multi import make_search
from harness.tasks.base import Task

SPARE_THREADS = 34
"""Beyond one for each agent and slot: `harness set agents=N` may make the team larger."""


@asynccontextmanager
async def open_run(
    folder: RunFolder, task: Task, config: RunConfig, clock: Clock
) -> AsyncGenerator[Run]:
    """Everything a live run needs, released at the end in the opposite order.

    Raises:
        UserError: A setting that cannot be used on this machine, or another process runs this run.
        StoreError: Its files are damaged.
    """
    async with AsyncExitStack() as stack:
        lock = RunLock(folder)
        lock.acquire()
        stack.callback(lock.release)
        # Threads are made when they are needed; a team that grows must not wait for one.
        executor = _pool(stack, config.headcount + config.slots + SPARE_THREADS, "harness")
        provider, capabilities = await open_provider(config.sandbox, executor)
        stack.push_async_callback(provider.close)
        check_isolation(config, capabilities)
        check_egress(config, provider)
        await provider.reap()  # what dead runs left, this one's earlier sessions included
        environments = await prepare_environments(
            task, provider, capabilities, config.sandbox, executor
        )
        # A slow embedder or the index must not hold up commands and git: a pool of its own.
        memory = await open_memory(config.memory, _pool(stack, 2, "memory"), clock=clock)
        stack.push_async_callback(memory.close)
        repository = Repository.open(folder.repository)
        stack.callback(repository.close)
        store = Store.open(folder.path, clock)
        stack.callback(store.close)
        store.set_meta(PAUSED, "")
        if config != read_saved(folder.config):
            save_config(config, folder.config)
            store.event(EventKind.BUDGET_EXTENDED, **config.budget.model_dump(exclude_none=True))
        for warning in capabilities.warnings:
            store.event(EventKind.WARNING, text=warning)
        watch = watch_provider(provider, capabilities.name, store, clock)
        stack.push_async_callback(watch.close)
        endpoints = open_endpoints(store, clock)
        stack.push_async_callback(endpoints.close)
        core = rebuilt(folder, task, config, clock, store)(
            endpoints=endpoints,
            repository=repository,
            provider=provider,
            watch=watch,
            capabilities=capabilities,
            executor=executor,
            novelty=Novelty(config.search.novelty, config.memory, repository),
            environment=environments.agents,
        )
        # A kill leaves working folders and the judge's copy of the private data behind.
        stack.callback(remove_folder, folder.scratch)
        await core.in_pool(remove_folder, folder.scratch)
        context = EvaluatorContext(
            task=task,
            provider=provider,
            limits=config.sandbox.limits,
            python=environments.evaluator.python,
            image=environments.evaluator.image,
            scratch=folder.scratch,
            executor=executor,
            labels={"harness.run": folder.id},
            watch=watch,
            prestart=config.sandbox.prestart,
        )
        open_pool = partial(
            make_pool,
            capabilities=capabilities,
            sandbox=config.sandbox,
            config=config.evaluators,
            run=folder.id,
            late=store.attempts.late,
        )
        pool = await open_pool(context)
        stack.push_async_callback(pool.close)
        chronicle = Chronicle(core, memory)
        pulse = Pulse(core, heartbeat_rules(config))
        evaluations = Evaluations(core, pool, chronicle, pulse)
        holdout = Holdout(core, partial(_holdout_pool, context, open_pool))
        yield Run(core, chronicle, evaluations, pulse, _make_agent, holdout)


async def _holdout_pool(
    context: EvaluatorContext, open_pool: Callable[[EvaluatorContext], Awaitable[EvaluatorPool]]
) -> EvaluatorPool | None:
    """Where champions are scored when the run has ended; None where the task has no hold-out."""
    holdout = holdout_context(context)
    return None if holdout is None else await open_pool(holdout)


def _make_agent(config: AgentConfig) -> Agent:
    return make_agent(config.resolved_kind, config)


def _pool(stack: AsyncExitStack, threads: int, name: str) -> ThreadPoolExecutor:
    executor = ThreadPoolExecutor(threads, name)
    stack.callback(executor.shutdown, cancel_futures=True)
    return executor


def rebuilt(
    folder: RunFolder, task: Task, config: RunConfig, clock: Clock, store: Store
) -> "partial[Core]":
    """The state of the run, rebuilt from the store; interrupted evaluations are queued again."""
    store.attempts.requeue()
    attempts = store.attempts.all()
    judged = finished_in_order(attempts)
    policy = make_search(
        config.search,
        seed=config.seed,
        direction=task.direction,
        objectives=objectives_of(task.file),
    )
    standings = Standings(task.direction)
    for attempt in judged:
        policy.observe(attempt)
        standings.observe(attempt)
    budget = Budget(
        config.budget,
        evaluations=sum(a.verdict is not None and a.verdict.charged for a in judged),
        usage=store.accounts.usage(),
        wall_before_s=store.accounts.wall_s(),
        clock=clock,
    )
    graph = AttemptGraph(task.direction, attempts)
    roster = Roster(store.members, config, clock)
    return partial(
        Core,
        folder=folder,
        config=config,
        task=task,
        clock=clock,
        store=store,
        policy=policy,
        graph=graph,
        budget=budget,
        standings=standings,
        roster=roster,
        models=ModelChooser(store, graph, roster),
        pauses=Pauses(clock),
        directives=store.directives.last_number(),
    )
