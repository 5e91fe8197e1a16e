"""The evaluator for formats in which evaluator and candidate share a process."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from harness.attempt import StageResult, Status, Verdict
from harness.errors import EvaluatorFailedError, SandboxUnavailableError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.judge_answer import judged
from harness.evaluators.judge_files import JudgeFiles
from harness.evaluators.place import WORK, Places, remove_folder
from harness.evaluators.produce import how_it_ended, printed
from harness.evaluators.rounds import Stage, evaluator_failed, lost, persist, repeated
from harness.evaluators.strict_json import Json, StrictJsonError, parse
from harness.evaluators.text import clean
from harness.sandbox.base import ExecResult
from harness.tasks.evaluation import CommandSpec, OnePhaseSpec

STAGE = "in_process"
"""Names the stage in verdicts, and so marks them: the candidate could have made its score up."""
RISK = (
    "[evaluator and candidate shared a process: the score holds as far as the candidate was honest]"
)
"""Said in each verdict that has a score."""
FORGED = "it may not have come from the evaluator"


class OnePhaseEvaluator:
    """Scores submissions of tasks of the kinds `one_phase` and `command`.

    Each evaluation has a throw-away sandbox that holds the submission, the evaluator and the
    private data: what a candidate does there is over with it, but it is not kept from reading or
    from patching its evaluator. The result comes on a channel of its own, so a candidate that
    prints one, ends the process, or leaves processes behind has no score; one that patches the
    evaluator in memory does.
    """

    def __init__(
        self, context: EvaluatorContext, spec: OnePhaseSpec | CommandSpec, program: Path
    ) -> None:
        """`program` is what runs the evaluator in the sandbox: `ONE_PHASE` or `COMMAND`."""
        context.make_scratch()
        self._spec = spec
        self._program = program
        self._watch = context.watch
        self._executor = context.executor
        self._folder = context.scratch / f"one-phase-{uuid4().hex}"
        self._files = JudgeFiles(context, spec, self._folder)
        self._places = Places(context, spec.max_output_bytes, files=self._files)
        # For commands of agents: without what is private.
        self._bare = Places(context, spec.max_output_bytes)

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission; see `Evaluator`."""
        return await repeated(job.seed, self._spec.repeats, lambda seed: self._round(job, seed))

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command on the submission alone; see `Evaluator`."""
        return await self._bare.try_out(job, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """End what runs in the background. May be called twice."""
        await asyncio.gather(self._places.close(), self._bare.close())
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, remove_folder, self._folder)

    async def _round(self, job: EvaluationJob, seed: int) -> Verdict:
        stage = Stage(STAGE)
        try:
            ended = await persist(lambda: self._run(job, seed), self._watch)
            return _verdict(stage, ended)
        except SandboxUnavailableError as error:
            return lost(stage, error)
        except EvaluatorFailedError as error:
            return evaluator_failed(stage, error)

    async def _run(self, job: EvaluationJob, seed: int) -> ExecResult:
        async with self._places.open(job) as sandbox:
            argv = [*self._files.argv(sandbox, self._program), sandbox.path(WORK), str(seed)]
            return await sandbox.exec(
                argv,
                timeout_s=self._spec.timeout_s,
                max_output_bytes=self._spec.max_output_bytes,
            )


def _verdict(stage: Stage, ended: ExecResult) -> Verdict:
    """What came of it. Whatever happens once the candidate may have run is the candidate's doing.

    Raises:
        EvaluatorFailedError: The evaluator's own file cannot be loaded.
    """
    if not ended.ok:
        status, evidence = how_it_ended(ended, "the evaluation")
        return _refused(stage, status, evidence, printed(ended))
    try:
        document = parse(ended.stdout)
    except StrictJsonError as error:
        return _refused(stage, Status.INVALID, f"the result is not strict JSON: {error}", "")
    if isinstance(document, dict) and "error" in document:
        if document.get("at") == "load":
            raise EvaluatorFailedError("\n".join((printed(ended), _told(document))))
        late = document.get("at") == "timeout"
        status = Status.TIMEOUT if late else Status.FAILED
        return _refused(stage, status, _told(document), printed(ended))
    try:
        answer = judged(ended)
    except EvaluatorFailedError as error:
        return _refused(stage, Status.INVALID, f"{FORGED}: {error}", "")
    status = Status.INVALID if answer.score is None else Status.SCORED
    return Verdict(
        status=status,
        score=answer.score,
        metrics=answer.metrics,
        feedback=answer.feedback or ("" if status is Status.SCORED else "refused by the evaluator"),
        stages=(stage.ended(status, "\n".join(filter(None, (answer.detail, RISK)))),),
    )


def _told(document: dict[str, Json]) -> str:
    return clean(str(document["error"]))


def _refused(stage: Stage, status: Status, why: str, detail: str) -> Verdict:
    # A traceback ends with the reason: it is not said twice.
    parts = [detail] if why in detail else [why, detail]
    feedback = clean("\n".join(filter(None, parts)))
    ended: StageResult = stage.ended(status, detail)
    return replace(Verdict(status, feedback=feedback), stages=(ended,))
