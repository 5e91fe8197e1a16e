"""The run's side of a Ray cluster: an evaluator whose work is done by sites on its nodes.

A site is a Ray actor that holds what one evaluation takes; a site is made when none is free, up to
the number of slots, and is used again. Each dispatch to a site has a token. A dispatch ends with
the site's answer, with the loss of the site (its process, its node, or silence), or with its
cancellation. After a loss the evaluation is dispatched anew, a few times; an answer to a dispatch
that was given up is late: it is told, and changes nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from harness.attempt import Verdict
from harness.errors import SandboxUnavailableError
from harness.evaluators.base import EvaluationJob, LateVerdict
from harness.evaluators.cluster.connect import (
    actor_options,
    connect,
    leave,
    needs,
    nodes,
    require_capacity,
)
from harness.evaluators.cluster.parcel import (
    pack,
    pack_task,
    travels,
    unpack_result,
    unpack_verdict,
)
from harness.evaluators.cluster.site import Order, Site
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.rounds import RETRIES, Stage, lost, persist
from harness.ids import AttemptId
from harness.sandbox.base import ExecResult
from harness.sandbox.config import SandboxConfig
from harness.tasks.base import Task
from harness.version import package_version

T = TypeVar("T")

logger = logging.getLogger(__name__)

LATE_S = 120.0
"""How long a site that was given up is listened to before it is killed."""
CLOSE_S = 10.0
"""How long a site may take to end what was cancelled, or to close."""
ROOM_S = 60.0
"""Beyond the time limits of an evaluation: starting sandboxes, copying files."""


class _Site:
    """A site as the run sees it."""

    def __init__(self, actor: Any, name: str) -> None:
        self.actor = actor
        self.name = name


class _LostError(SandboxUnavailableError):
    """The site's process or node is gone."""


class _SilentError(SandboxUnavailableError):
    """The site does not answer."""


class RayEvaluator:
    """Scores submissions of one task on the nodes of a cluster; see `Evaluator`.

    Belongs to one event loop. `slots` is how many evaluations may run side by side.
    """

    def __init__(
        self,
        task: Task,
        order: Order,
        options: dict[str, Any],
        *,
        slots: int,
        silence_s: float,
        executor: Executor,
        late: Callable[[LateVerdict], None],
        leaves: bool,
    ) -> None:
        import ray
        from ray.exceptions import ActorDiedError, RayError

        # Loosely typed: what comes from Ray is checked where it enters.
        self._ray: Any = ray
        self._error: type[Exception] = RayError
        self._gone: type[Exception] = ActorDiedError
        self._actor: Any = ray.remote(Site).options(**options)
        self._task = ray.put(pack_task(task))
        self._order = asdict(order)
        self.slots = slots
        self._silence_s = silence_s
        self._executor = executor
        self._late = late
        self._leaves = leaves
        # Sites that are free, and why one could not be made.
        self._free: asyncio.LifoQueue[_Site | SandboxUnavailableError] = asyncio.LifoQueue()
        self._sites: set[_Site] = set()
        self._opening = 0
        self._waiting = 0
        self._background: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(
        cls,
        task: Task,
        sandbox: SandboxConfig,
        config: EvaluatorConfig,
        executor: Executor,
        late: Callable[[LateVerdict], None],
    ) -> "RayEvaluator":
        """Join the cluster of `config` and send it the task.

        Raises:
            ConfigurationError: Ray is missing, no cluster answers, or none of its nodes can hold
                an evaluator.
        """
        loop = asyncio.get_running_loop()
        leaves = await loop.run_in_executor(executor, connect, config.ray)
        try:
            needed = needs(task, config.ray)
            fits = require_capacity(nodes(), needed, config.ray, task)
            order = Order(
                version=package_version(),
                sandbox=sandbox.model_dump(mode="json"),
                evaluators=config.model_dump(mode="json"),
                task_hash=task.hash,
                private=_stays(task),
                deadline_s=config.ray.deadline_s or deadline_s(task),
            )
            make = partial(
                cls,
                task,
                order,
                actor_options(needed),
                slots=config.slots or fits,
                silence_s=config.ray.silence_s,
                executor=executor,
                late=late,
                leaves=leaves,
            )
            return await loop.run_in_executor(executor, make)
        except BaseException:
            if leaves:
                await loop.run_in_executor(executor, leave)
            raise

    @property
    def sites(self) -> tuple[str, ...]:
        """Host and process of each that is open."""
        return tuple(site.name for site in self._sites)

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission; see `Evaluator`."""
        stage = Stage("cluster")
        try:
            parcel = await self._pack(job)
            return await persist(lambda: self._verdict(job, parcel))
        except SandboxUnavailableError as error:
            return lost(stage, error)

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run; see `Evaluator`."""
        answer = await self._dispatch("try_out", job, await self._pack(job), list(argv), timeout_s)
        return _plain(answer, "result", unpack_result)

    async def close(self) -> None:
        """End the sites and leave the cluster. May be called twice."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(*map(self._end, list(self._sites)))
        if self._leaves:
            self._leaves = False
            await asyncio.get_running_loop().run_in_executor(self._executor, leave)

    async def _pack(self, job: EvaluationJob) -> Any:
        """The submission in the cluster's object store, put there once for all dispatches."""

        def put() -> Any:
            return self._ray.put(pack(job.submission.files()))

        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, put)
        except (OSError, self._error) as error:
            raise SandboxUnavailableError(f"the submission cannot be sent: {error}") from error

    async def _verdict(self, job: EvaluationJob, parcel: Any) -> Verdict:
        return _plain(await self._dispatch("evaluate", job, parcel), "verdict", unpack_verdict)

    async def _dispatch(
        self, method: str, job: EvaluationJob, parcel: Any, *more: Any
    ) -> dict[str, Any]:
        """The answer of a site.

        Raises:
            SandboxUnavailableError: The site was lost, or has no answer.
        """
        site, token = await self._take(), uuid4().hex
        asked = getattr(site.actor, method).remote(
            token, job.attempt, job.seed, dict(job.labels), parcel, *more
        )
        call = _future(asked)
        try:
            answer: dict[str, Any] = await self._heard(site, call)
        except asyncio.CancelledError:
            self._in_background(self._cancelled(site, asked, call))
            raise
        except _SilentError:
            self._in_background(self._listen(site, call, job.attempt, token))
            raise
        except _LostError:
            self._forget(site)
            raise
        self._free.put_nowait(site)
        if answer["token"] != token:
            raise SandboxUnavailableError(f"{site.name} answered another dispatch")
        return answer

    async def _heard(self, site: _Site, call: "asyncio.Future[Any] | None" = None) -> Any:
        """What a site answers to `call` (None: to one beat), as long as it beats.

        Raises:
            _LostError: Its process is gone.
            _SilentError: It does not answer.
        """
        try:
            while True:
                if call is not None:
                    await asyncio.wait({call}, timeout=self._silence_s / 3)
                    if call.done():
                        return call.result()
                beat = _future(site.actor.beat.remote())
                waited = {beat} if call is None else {beat, call}
                done, _ = await asyncio.wait(
                    waited, timeout=self._silence_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    raise _SilentError(f"{site.name} has not answered for {self._silence_s:g} s")
                if call is None:
                    return beat.result()
                if not call.done():
                    beat.result()
        except self._error as error:
            raise _LostError(f"{site.name}: {_first_line(error)}") from error

    async def _take(self) -> _Site:
        """A free site that answers; one is made when none is free and there may be more."""
        while True:
            if self._free.empty():
                self._make()
            self._waiting += 1
            try:
                site = await self._free.get()
            finally:
                self._waiting -= 1
            if isinstance(site, SandboxUnavailableError):
                raise site
            try:
                await self._heard(site)
            except asyncio.CancelledError:
                self._free.put_nowait(site)
                raise
            except (_LostError, _SilentError):
                self._forget(site)
            else:
                return site

    def _make(self) -> None:
        if len(self._sites) + self._opening < self.slots:
            self._opening += 1
            self._in_background(self._open())

    async def _open(self) -> None:
        actor = self._actor.remote(self._task, self._order)
        try:
            # Waits until a node has room for it, however long that is.
            facts = await _future(actor.open.remote())
        except self._error as error:
            facts = {"wrong": _first_line(error)}
        except asyncio.CancelledError:
            self._ray.kill(actor)
            raise
        finally:
            self._opening -= 1
        if "wrong" in facts:
            self._ray.kill(actor)
            self._free.put_nowait(SandboxUnavailableError(str(facts["wrong"])))
            return
        site = _Site(actor, f"{facts['host']}:{facts['pid']}")
        self._sites.add(site)
        self._free.put_nowait(site)

    def _forget(self, site: _Site) -> None:
        """End a site at once; whoever waits for one gets another."""
        self._sites.discard(site)
        self._ray.kill(site.actor)
        if self._waiting:
            self._make()

    async def _cancelled(self, site: _Site, asked: Any, call: "asyncio.Future[Any]") -> None:
        """Cancel a dispatch at its site, which may be used again when that has ended."""
        self._ray.cancel(asked)
        done, _ = await asyncio.wait({call}, timeout=CLOSE_S)
        if done and not isinstance(call.exception(), self._gone):
            self._free.put_nowait(site)
        else:
            self._forget(site)

    async def _listen(
        self, site: _Site, call: "asyncio.Future[Any]", attempt: AttemptId, token: str
    ) -> None:
        """Wait for what a silent site may still answer, then end it."""
        self._sites.discard(site)
        if self._waiting:
            self._make()
        try:
            async with asyncio.timeout(LATE_S):
                verdict = _plain(await call, "verdict", unpack_verdict)
        except (TimeoutError, SandboxUnavailableError, self._error):
            return
        else:
            logger.warning("attempt %s: a late answer of %s", attempt, site.name)
            self._late(LateVerdict(attempt, token, site.name, verdict))
        finally:
            self._ray.kill(site.actor)

    async def _end(self, site: _Site) -> None:
        self._sites.discard(site)
        try:
            await asyncio.wait({_future(site.actor.close.remote())}, timeout=CLOSE_S)
        finally:
            self._ray.kill(site.actor)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def deadline_s(task: Task) -> float:
    """How long one evaluation may take on a node, with everything that is tried again there."""
    spec = task.file.evaluator
    once = spec.timeout_s + spec.judge_timeout_s + ROOM_S
    return spec.repeats * (RETRIES + 1) * once


def _stays(task: Task) -> str | None:
    """Where nodes find private data that are too large to be sent."""
    return None if task.private is None or travels(task.private) else str(task.private)


def _plain(answer: dict[str, Any], key: str, unpack: Callable[[Any], T]) -> T:
    if key not in answer:
        raise SandboxUnavailableError(str(answer.get("lost", "the node sent no answer")))
    try:
        return unpack(answer[key])
    except ValueError as error:
        raise SandboxUnavailableError(f"the node's answer: {error}") from error


def _future(asked: Any) -> "asyncio.Future[Any]":
    """What a Ray call will return. Cancelling it leaves the call alone."""
    future = asyncio.wrap_future(asked.future())
    # An answer that nobody waits for any more, an error too, is no news.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
