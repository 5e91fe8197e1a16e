"""The worker's side: one evaluator on a node of the cluster, for as long as the run needs it."""

import asyncio
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import SandboxUnavailableError, UserError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.cluster.parcel import pack_result, pack_verdict, unpack
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.folders import own_folder
from harness.evaluators.open import OpenEvaluator, open_evaluator
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.config import SandboxConfig
from harness.sandbox.placing import place
from harness.tasks.base import Task
from harness.tasks.loader import load_task
from harness.version import package_version


@dataclass(frozen=True, slots=True)
class Order:
    """What a site is for. Plain values: both sides may be of different versions of this package.

    `private` is the path of private data that do not travel; `task_hash` what the task must have
    arrived as; `deadline_s` bounds one evaluation from its start on.
    """

    version: str
    sandbox: Mapping[str, Any]
    evaluators: Mapping[str, Any]
    task_hash: str
    private: str | None
    deadline_s: float


class Site:
    """An evaluator with one slot. Ray runs its methods on one event loop, so that it answers
    `beat` while it evaluates. Expected errors are answers: an exception would be pickled."""

    def __init__(self, task: bytes, order: Mapping[str, Any]) -> None:
        self._parcel = task
        self._order = order
        self._stack = AsyncExitStack()
        self._opened: OpenEvaluator | None = None

    async def open(self) -> dict[str, Any]:
        """Make it ready; where it is, or under `wrong` why it cannot be."""
        theirs = self._order["version"]
        if theirs != package_version():
            wrong = f"this node has version {package_version()} of the harness, the run {theirs}"
            return {"wrong": wrong}
        order = Order(**self._order)
        try:
            task = await asyncio.to_thread(self._load, order)
            self._opened = await self._stack.enter_async_context(
                open_evaluator(
                    task,
                    SandboxConfig.model_validate(order.sandbox),
                    EvaluatorConfig.model_validate({**order.evaluators, "pool": "local"}),
                )
            )
        except (UserError, SandboxUnavailableError, OSError) as error:
            await self._stack.aclose()
            return {"wrong": f"{platform.node()}: {error}"}
        return {"host": platform.node(), "pid": os.getpid()}

    async def beat(self) -> None:
        """Answers while the process works."""

    async def evaluate(
        self, token: str, attempt: str, seed: int, labels: Mapping[str, str], submission: bytes
    ) -> dict[str, Any]:
        """A verdict, or under `lost` why there is none. `token` is returned as it came."""
        deadline_s, loop = float(self._order["deadline_s"]), asyncio.get_running_loop()
        job = _job(attempt, seed, labels, submission)
        try:
            async with asyncio.timeout(None) as limit:
                # Waiting for a GPU or for its turn on the node is not evaluating.
                verdict = await self._evaluator.pool.evaluate(
                    job, started=lambda: limit.reschedule(loop.time() + deadline_s)
                )
        except TimeoutError:
            return {"token": token, "lost": f"no verdict within {deadline_s:g} s"}
        return {"token": token, "verdict": pack_verdict(verdict)}

    async def try_out(
        self,
        token: str,
        attempt: str,
        seed: int,
        labels: Mapping[str, str],
        submission: bytes,
        argv: Sequence[str],
        timeout_s: float,
    ) -> dict[str, Any]:
        """How a command ended on the submission, or under `lost` why that is not known."""
        job = _job(attempt, seed, labels, submission)
        try:
            result = await self._evaluator.pool.try_out(job, argv, timeout_s=timeout_s)
        except SandboxUnavailableError as error:
            return {"token": token, "lost": str(error)}
        return {"token": token, "result": pack_result(result)}

    async def close(self) -> None:
        """End its sandboxes and remove its files."""
        await self._stack.aclose()

    @property
    def _evaluator(self) -> OpenEvaluator:
        if self._opened is None:
            raise RuntimeError("the site is not open")
        return self._opened

    def _load(self, order: Order) -> Task:
        folder = self._stack.enter_context(own_folder()) / "task"
        place(folder, unpack(self._parcel))
        # Private data: for this user alone, the judge is given a copy.
        folder.chmod(0o700)
        task = load_task(folder)
        if task.hash != order.task_hash:
            raise SandboxUnavailableError("the task arrived changed")
        if order.private is not None:
            private = Path(order.private)
            if not private.is_dir():
                raise SandboxUnavailableError(f"the private data {private} are not on this node")
            task = replace(task, private=private)
        return task


def _job(attempt: str, seed: int, labels: Mapping[str, str], submission: bytes) -> EvaluationJob:
    return EvaluationJob(AttemptId(attempt), FilesSubmission(unpack(submission)), seed, labels)
