"""The two-phase evaluator: the candidate writes files, the judge scores them."""

import asyncio
from collections.abc import Mapping, Sequence

from harness.attempt import Status, Verdict
from harness.errors import EvaluatorFailedError, SandboxUnavailableError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.judge import Judge
from harness.evaluators.produce import Produced, Producer
from harness.evaluators.rounds import Stage, evaluator_failed, lost, persist, repeated
from harness.evaluators.text import clean
from harness.sandbox.base import ExecResult
from harness.tasks.evaluation import PRINTED, SUBMISSION, AnswerSpec


class AnswerEvaluator:
    """Scores submissions of a task of the kind `answer`.

    *Produce* sees the submission and nothing else; of what it leaves, the declared outputs go to
    *judge*, which sees the private data and never runs the candidate's code (where a task shows it
    that, it is data). They share no sandbox.
    """

    def __init__(self, context: EvaluatorContext, spec: AnswerSpec) -> None:
        context.make_scratch()
        self._repeats = spec.repeats
        self._watch = context.watch
        self._executor = context.executor
        self._sees = spec.judge_sees
        self._producer = Producer(context, spec)
        self._judge = Judge(context, spec)

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission; see `Evaluator`."""
        return await repeated(job.seed, self._repeats, lambda seed: self._round(job, seed))

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run; see `Evaluator`."""
        return await self._producer.try_out(job, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """End what runs in the background and the judge's sandbox. May be called twice."""
        await asyncio.gather(self._producer.close(), self._judge.close())

    async def _shown(self, job: EvaluationJob, produced: Produced) -> Mapping[str, bytes]:
        """What the judge finds: the outputs, and what else the task shows it."""
        shown = dict(produced.outputs)
        if "printed" in self._sees:
            shown[PRINTED] = produced.stdout
        if "submission" in self._sees:
            loop = asyncio.get_running_loop()
            files = await loop.run_in_executor(self._executor, job.submission.files)
            shown |= {f"{SUBMISSION}/{path}": file.data for path, file in files.items()}
        return shown

    async def _round(self, job: EvaluationJob, seed: int) -> Verdict:
        stage = Stage("produce")
        try:
            produced = await persist(lambda: self._producer.run(job), self._watch)
        except SandboxUnavailableError as error:
            return lost(stage, error)
        if produced.status is not None:
            ended = stage.ended(produced.status, produced.detail)
            return Verdict(produced.status, feedback=clean(produced.feedback), stages=(ended,))
        done = stage.ended(Status.SCORED, produced.detail)
        stage = Stage("judge")
        try:
            shown = await self._shown(job, produced)
            judged = await persist(lambda: self._judge.score(shown, seed), self._watch)
        except SandboxUnavailableError as error:
            return lost(stage, error, done)
        except EvaluatorFailedError as error:
            return evaluator_failed(stage, error, done)
        status = Status.INVALID if judged.score is None else Status.SCORED
        feedback = judged.feedback or ("" if status is Status.SCORED else "refused by the judge")
        return Verdict(
            status=status,
            score=judged.score,
            metrics=judged.metrics,
            feedback=feedback,
            stages=(done, stage.ended(status, judged.detail)),
        )
