"""Composes a live run out of its parts."""

from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from harness.agents.heartbeats.base import HeartbeatRule
from harness.agents.heartbeats.rules import check_rules, default_rules
from harness.agents.pricing import price_of
from harness.agents.registry import make_agent
from harness.clock import Clock
from harness.errors import ConfigurationError
from harness.evaluators.answer import AnswerEvaluator
from harness.evaluators.open import prepare_environment
from harness.evaluators.pool import EvaluatorPool
from harness.evaluators.produce import remove_folder
from harness.events import EventKind
from harness.memory.open import open_memory
from harness.run.budget import Budget
from harness.run.chronicle import Chronicle
from harness.run.config import RunConfig, read_saved, save_config
from harness.run.core import Core
from harness.run.evaluation import Evaluations
from harness.run.folder import RunFolder, RunLock
from harness.run.orchestrator import Run
from harness.run.pulse import Pulse
from harness.run.standings import Standings, finished_in_order
from harness.run.store import Store
from harness.sandbox.base import Capabilities
from harness.sandbox.providers import open_provider
from harness.sandbox.repository import Repository
from harness.search.graph import AttemptGraph
from harness.search.policies import make_policy
from harness.tasks.base import Task

PLAIN_AGENTS = frozenset({"offline"})
"""Agents whose code derives from the seed by mutation and was not written by a model."""


def check_config(config: RunConfig) -> None:
    """What can be known to be wrong before anything is made.

    Raises:
        ConfigurationError: Rules that cannot be rendered, or money without a price.
    """
    make_agent(config.agent_kind, config.agent)
    check_rules(heartbeat_rules(config))
    if config.agent_kind == "llm" and not config.agent.model.name:
        raise ConfigurationError(
            "the llm agent has no model",
            expected="the name of a model as the endpoint knows it",
            action="add --model NAME, or use --agent offline",
        )
    ends = config.budget.evaluations is not None or config.budget.hours is not None
    if config.agent_kind in PLAIN_AGENTS and not ends:
        raise ConfigurationError(
            "a budget of tokens or USD never ends a run of the offline agent: it calls no model",
            expected="a budget of evaluations or hours",
            action="add --evals or --hours, or name a --model",
        )
    limited = config.budget.usd is not None and config.agent_kind not in PLAIN_AGENTS
    if limited and price_of(config.agent.model) is None:
        raise ConfigurationError(
            f"a budget in USD, but the price of model {config.agent.model.name!r} is unknown",
            expected="a known price, so that the budget can be kept",
            action="set agent.model.price_input and price_output in harness.yaml"
            " (USD per million tokens), or use --tokens",
        )


def heartbeat_rules(config: RunConfig) -> Sequence[HeartbeatRule]:
    """The configured rules; the built-in ones for agents that can read them."""
    if config.heartbeats is not None:
        return config.heartbeats
    return () if config.agent_kind in PLAIN_AGENTS else default_rules()


def check_isolation(config: RunConfig, capabilities: Capabilities) -> None:
    """Code that a model wrote needs isolation, or a user who knows.

    Raises:
        ConfigurationError: The provider does not isolate and `unsafe` is not set.
    """
    plain = config.agent_kind in PLAIN_AGENTS
    if plain or capabilities.isolates_model_code or config.sandbox.unsafe:
        return
    raise ConfigurationError(
        f"the sandbox {capabilities.name!r} does not isolate code that a model writes"
        f" (not enforced: {', '.join(capabilities.not_enforced)})",
        expected="Docker or bubblewrap",
        action="install docker or bubblewrap (`harness doctor` says how), or add --unsafe on a"
        " machine you can lose",
    )


@asynccontextmanager
async def open_run(
    folder: RunFolder, task: Task, config: RunConfig, clock: Clock
) -> AsyncGenerator[Run]:
    """Everything a live run needs, released at the end in the opposite order.

    Raises:
        UserError: A setting that cannot be used on this machine.
        StoreError: Another process runs this run, or its files are damaged.
    """
    async with AsyncExitStack() as stack:
        lock = RunLock(folder)
        lock.acquire()
        stack.callback(lock.release)
        executor = _pool(stack, config.agents + config.slots + 2, "harness")
        provider, capabilities = await open_provider(config.sandbox, executor)
        stack.push_async_callback(provider.close)
        check_isolation(config, capabilities)
        await provider.reap()  # what dead runs left, this one's earlier sessions included
        python = await prepare_environment(task, provider, capabilities, executor)
        # A slow embedder or the index must not hold up commands and git: a pool of its own.
        memory = await open_memory(config.memory, _pool(stack, 2, "memory"), clock=clock)
        stack.push_async_callback(memory.close)
        repository = Repository.open(folder.repository)
        stack.callback(repository.close)
        store = Store.open(folder.path, clock)
        stack.callback(store.close)
        if config != read_saved(folder.config):
            save_config(config, folder.config)
            store.event(EventKind.BUDGET_EXTENDED, **config.budget.model_dump(exclude_none=True))
        core = _core(folder, task, config, clock, store)(
            repository=repository,
            provider=provider,
            capabilities=capabilities,
            executor=executor,
            python=python,
        )
        # A kill leaves working folders and the judge's copy of the private data behind.
        stack.callback(remove_folder, folder.scratch)
        await core.in_pool(remove_folder, folder.scratch)
        evaluator = AnswerEvaluator(
            task,
            provider,
            config.sandbox.limits,
            python,
            folder.scratch,
            executor,
            {"harness.run": folder.id},
        )
        pool = EvaluatorPool(evaluator, config.slots)
        stack.push_async_callback(pool.close)
        chronicle = Chronicle(core, memory)
        pulse = Pulse(core, heartbeat_rules(config))
        evaluations = Evaluations(core, pool, chronicle, pulse)
        yield Run(
            core, chronicle, evaluations, partial(make_agent, config.agent_kind, config.agent)
        )


def _pool(stack: AsyncExitStack, threads: int, name: str) -> ThreadPoolExecutor:
    executor = ThreadPoolExecutor(threads, name)
    stack.callback(executor.shutdown, cancel_futures=True)
    return executor


def _core(
    folder: RunFolder, task: Task, config: RunConfig, clock: Clock, store: Store
) -> "partial[Core]":
    """The state of the run, rebuilt from the store; interrupted evaluations are queued again."""
    store.attempts.requeue()
    attempts = store.attempts.all()
    judged = finished_in_order(attempts)
    policy = make_policy(
        config.search.policy, seed=config.seed, direction=task.direction, config=config.search
    )
    standings = Standings(task.direction, store.interventions.fired())
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
    return partial(
        Core,
        folder=folder,
        config=config,
        task=task,
        clock=clock,
        store=store,
        policy=policy,
        graph=AttemptGraph(task.direction, attempts),
        budget=budget,
        standings=standings,
        directives=store.directives.last_number(),
    )
