"""The evaluator for candidates that are called: the judge asks, the candidate answers.

They share no sandbox. Each talks to the harness only, which hands typed messages on, sees how the
candidate ends and keeps its time.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from harness.attempt import StageResult, Status, Verdict
from harness.errors import EvaluatorFailedError, SandboxUnavailableError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.frames import Frame, FrameError, FrameReader
from harness.evaluators.judge import Judge
from harness.evaluators.judge_answer import Judged, judged
from harness.evaluators.judge_files import INSIDE, TALKER
from harness.evaluators.peer import Ended, Peer
from harness.evaluators.place import Places
from harness.evaluators.rounds import Stage, evaluator_failed, lost, persist, repeated
from harness.evaluators.strict_json import Json
from harness.evaluators.submission import FilesSubmission
from harness.evaluators.text import clean
from harness.sandbox.base import CommandStream, ExecResult
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.tasks.evaluation import ServeSpec
from harness.tasks.folder import files_below

SERVER = INSIDE / "harness_serve.py"
CANDIDATE, BASELINE = "candidate", "baseline"
CALLS = ("call", "hold", "fetch")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a conversation: the judge's answer, or what stopped it."""

    judged: Judged | None
    stopped: Ended | None
    used_s: float
    """Seconds that the candidate took."""
    printed: str = ""
    """End of what the candidate printed."""


class ServeEvaluator:
    """Scores submissions of a task of the kind `serve`."""

    def __init__(self, context: EvaluatorContext, spec: ServeSpec) -> None:
        context.make_scratch()
        self._spec = spec
        self._watch = context.watch
        beside = {SERVER.name: SERVER.read_bytes()}
        self._places = Places(context, spec.max_output_bytes, beside)
        self._judge = Judge(context, spec)
        self._baseline = None if spec.baseline is None else _files(context.task, spec.baseline)

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission; see `Evaluator`."""
        return await repeated(job.seed, self._spec.repeats, lambda seed: self._round(job, seed))

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run; see `Evaluator`."""
        return await self._places.try_out(job, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """End what runs in the background and the judge's sandbox. May be called twice."""
        await asyncio.gather(self._places.close(), self._judge.close())

    async def _round(self, job: EvaluationJob, seed: int) -> Verdict:
        stage, began = Stage("judge"), time.perf_counter()
        try:
            outcome = await persist(lambda: self._converse(job, seed), self._watch)
        except SandboxUnavailableError as error:
            return lost(stage, error)
        except EvaluatorFailedError as error:
            return evaluator_failed(stage, error)
        if self._spec.secret_calls:
            outcome = _hushed(outcome)
        spent_s = time.perf_counter() - began
        if (stopped := outcome.stopped) is not None:
            serve = StageResult("serve", stopped.status, outcome.used_s, outcome.printed)
            feedback = clean("\n".join(filter(None, (stopped.evidence, stopped.printed))))
            return Verdict(stopped.status, feedback=feedback, stages=(serve,))
        answer = outcome.judged
        assert answer is not None
        status = Status.INVALID if answer.score is None else Status.SCORED
        serve = StageResult("serve", Status.SCORED, outcome.used_s, outcome.printed)
        ended = StageResult("judge", status, spent_s - outcome.used_s, answer.detail)
        return Verdict(
            status=status,
            score=answer.score,
            metrics=answer.metrics,
            feedback=answer.feedback or ("" if status is Status.SCORED else "refused by the judge"),
            stages=(serve, ended),
        )

    async def _converse(self, job: EvaluationJob, seed: int) -> _Outcome:
        """One judge, one candidate, and the baseline where there is one."""
        jobs = {CANDIDATE: job}
        if self._baseline is not None:
            jobs[BASELINE] = replace(job, submission=self._baseline)
        # The judge's own seconds and those it may have to wait for programs.
        limit_s = self._spec.judge_timeout_s + len(jobs) * self._spec.timeout_s
        words = [str(seed), "baseline" if BASELINE in jobs else "alone"]
        async with (
            self._judge.talk(TALKER, words, timeout_s=limit_s) as judge,
            AsyncExitStack() as stack,
        ):
            programs = _Programs(self._places, self._spec, jobs, limit_s, stack)
            answer = await _relay(judge, programs, self._spec.max_output_bytes)
            candidate = programs.started.get(CANDIDATE)
            printed = "" if candidate is None else await candidate.close()
            used_s = 0.0 if candidate is None else candidate.used_s
            stopped = _stopped(answer, candidate, printed)
            if stopped is not None:
                return _Outcome(None, stopped, used_s, printed)
            written = b"" if answer is None else json.dumps(answer).encode()
            ended = replace(await judge.result(), stdout=written)
            return _Outcome(judged(ended), None, used_s, printed)


class _Programs:
    """The programs of one conversation, each started when it is first asked for something.

    With a baseline only one of them runs at a time: the other one can neither slow it down nor
    work ahead.
    """

    def __init__(
        self,
        places: Places,
        spec: ServeSpec,
        jobs: Mapping[str, EvaluationJob],
        limit_s: float,
        stack: AsyncExitStack,
    ) -> None:
        self._places = places
        self._spec = spec
        self._jobs = jobs
        self._limit_s = limit_s
        self._stack = stack
        self.started: dict[str, Peer] = {}

    async def turn(self, who: str) -> Peer:
        """The program of that name, which now runs; the others stand still."""
        for name, other in self.started.items():
            if name != who:
                await other.rest()
        if who not in self.started:
            return await self._start(who)
        await self.started[who].wake()
        return self.started[who]

    async def _start(self, who: str) -> Peer:
        if who not in self._jobs:
            raise EvaluatorFailedError(f"the judge asked for a program {who!r}")
        enter = self._stack.enter_async_context
        sandbox = await enter(self._places.open(self._jobs[who]))
        # Its own time is kept by the peer, which counts while it is asked for something.
        stream = await enter(sandbox.stream(self._spec.produce, timeout_s=self._limit_s))
        peer = self.started[who] = Peer(sandbox, stream, self._spec)
        self._stack.push_async_callback(peer.wake)
        await peer.request("open", "")
        return peer


async def _relay(judge: CommandStream, programs: _Programs, max_data_bytes: int) -> Json:
    """Hand the judge's requests on until it answers; None when it ends without an answer.

    Raises:
        EvaluatorFailedError: The judge broke the protocol.
    """
    reader = FrameReader(judge, max_data_bytes)
    try:
        while (asked := await reader.read()) is not None:
            request = asked.document
            op, who, name = (str(request.get(key, "")) for key in ("op", "to", "name"))
            if op == "answer":
                return request.get("answer")
            peer = await programs.turn(who)
            reply = Frame({"value": None})
            if op in CALLS:
                reply = await peer.request(op, name, request.get("args"), asked.data)
            await judge.write(reply.encoded())
    except FrameError as error:
        raise EvaluatorFailedError(f"a message of the judge: {error}") from None
    except ConnectionError:
        pass  # it ended; how is told by its result
    return None


def _stopped(answer: Json, candidate: Peer | None, printed: str) -> Ended | None:
    """What the candidate did that the judge did not deal with.

    Raises:
        EvaluatorFailedError: It was not the candidate but the baseline.
    """
    if not isinstance(answer, dict) or "stopped_by" not in answer:
        return None
    why = str(answer.get("why"))
    if answer["stopped_by"] != CANDIDATE:
        raise EvaluatorFailedError(f"the baseline: {why}")
    ended = None if candidate is None else candidate.ended
    return ended or Ended(Status.FAILED, why, printed)


def _hushed(outcome: _Outcome) -> _Outcome:
    """Without a word of the candidate's, who has seen what was sent."""
    stopped = outcome.stopped
    if stopped is not None:
        stopped = Ended(stopped.status, "what the candidate said is not told")
    return replace(outcome, stopped=stopped, printed="")


def _files(task: Task, baseline: str) -> FilesSubmission:
    """The seed with the baseline's files laid over it, read once: as at the start of the run."""
    assert task.evaluator is not None  # the loader has seen the baseline in it
    folders = (task.seed, task.evaluator / baseline)
    found = [each for folder in folders for each in files_below(folder)]
    return FilesSubmission({name: TreeFile(path.read_bytes()) for name, path in found})
