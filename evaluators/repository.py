"""The evaluator for submitted repositories: the task's tests ask, commands of the tree answer.

Tests and tree share no sandbox. The tests report to the harness on a stream of their own, which
nothing in the tree's sandbox can reach.
"""

import asyncio
import json
import math
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.attempt import StageResult, Status, Verdict
from harness.errors import EvaluatorFailedError, SandboxUnavailableError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.frames import Frame, FrameError, FrameReader
from harness.evaluators.judge import Judge
from harness.evaluators.judge_files import TESTER
from harness.evaluators.place import Places
from harness.evaluators.produce import how_it_ended, printed
from harness.evaluators.rounds import Stage, evaluator_failed, lost, persist, repeated
from harness.evaluators.strict_json import Json
from harness.evaluators.text import clean, clean_tail
from harness.sandbox.base import CommandStream, ExecEnd, ExecResult, Sandbox
from harness.tasks.evaluation import RepositorySpec

PASSED = "passed"
COUNTED = (PASSED, "failed", "error")
MAX_TESTS = 10_000
MAX_FEEDBACK_TESTS = 50


class _Report(BaseModel):
    """What `repository_judge.py` sends last."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tests: list[tuple[str, Literal["passed", "failed", "error", "skipped"], str, float]] = Field(
        max_length=MAX_TESTS
    )
    metrics: dict[str, float] = Field(max_length=1000)


@dataclass(slots=True)
class _Outcome:
    """What came of an evaluation: the report, or what the build came to."""

    report: _Report | None = None
    detail: str = ""
    """End of what the tests printed: for the task's author."""
    built: ExecResult | None = None
    used_s: float = 0.0
    """Seconds that commands of the submission took."""


class RepositoryEvaluator:
    """Scores submissions of a task of the kind `repository`."""

    def __init__(self, context: EvaluatorContext, spec: RepositorySpec) -> None:
        context.make_scratch()
        self._spec = spec
        self._watch = context.watch
        self._places = Places(context, spec.max_output_bytes)
        self._judge = Judge(context, spec)

    async def evaluate(self, job: EvaluationJob) -> Verdict:
        """Score one submission; see `Evaluator`."""
        return await repeated(job.seed, self._spec.repeats, lambda seed: self._round(job, seed))

    async def try_out(
        self, job: EvaluationJob, argv: Sequence[str], *, timeout_s: float
    ) -> ExecResult:
        """Run a command where candidates run; see `Evaluator`."""
        return await self._places.try_out(job, argv, timeout_s=timeout_s)

    async def close(self) -> None:
        """End what runs in the background and the tests' sandbox. May be called twice."""
        await asyncio.gather(self._places.close(), self._judge.close())

    async def _round(self, job: EvaluationJob, seed: int) -> Verdict:
        stage = Stage("tests")
        try:
            outcome = await persist(lambda: self._test(job, seed), self._watch)
            return _verdict(stage, outcome, self._spec)
        except SandboxUnavailableError as error:
            return lost(stage, error)
        except EvaluatorFailedError as error:
            return evaluator_failed(stage, error)

    async def _test(self, job: EvaluationJob, seed: int) -> _Outcome:
        async with AsyncExitStack() as stack:
            tree = _Tree(self._places, self._spec, job, stack)
            built = await tree.fresh()
            if built is not None and not built.ok:
                return _Outcome(built=built, used_s=tree.used_s)
            limit_s = self._spec.judge_timeout_s + self._spec.timeout_s
            enter = stack.enter_async_context
            talk = self._judge.talk(TESTER, [str(seed)], timeout_s=limit_s)
            judge = await enter(talk)
            report = await _relay(judge, tree, self._spec.max_output_bytes)
            ended = await judge.result()
            detail = clean_tail(ended.stderr)
            return _Outcome(_checked(report, ended, detail), detail, built, tree.used_s)


class _Tree:
    """The submission in its sandbox, and how long its commands have taken."""

    def __init__(
        self, places: Places, spec: RepositorySpec, job: EvaluationJob, stack: AsyncExitStack
    ) -> None:
        self._places = places
        self._spec = spec
        self._job = job
        self._here = AsyncExitStack()
        stack.push_async_callback(self._here.aclose)
        self._sandbox: Sandbox | None = None
        self.used_s = 0.0

    async def fresh(self) -> ExecResult | None:
        """A new sandbox in place of the one before, built; how the build ended, if there is one."""
        await self._here.aclose()
        self._sandbox = await self._here.enter_async_context(self._places.open(self._job))
        return await self._run(self._spec.build, None, b"") if self._spec.build else None

    async def answer(self, asked: Frame) -> Frame:
        """Do what the tests ask for.

        Raises:
            EvaluatorFailedError: They asked for nothing that there is.
            SandboxUnavailableError: The sandbox failed.
        """
        request = asked.document
        op, path = request.get("op"), str(request.get("path"))
        assert self._sandbox is not None
        try:
            if op == "run":
                return _told(await self._run(*_command(request), asked.data))
            if op == "read":
                content = await self._sandbox.read_file(path, max_bytes=self._spec.max_output_bytes)
                return Frame({"value": {"content": {"__bytes__": len(content)}}}, content)
            if op == "write":
                await self._sandbox.write_file(path, asked.data)
                return Frame({"value": {}})
        except (FileNotFoundError, PermissionError, OverflowError) as error:
            problem = f"{path}: {PROBLEMS[type(error)]}"
            return Frame({"value": {"problem": problem}})
        if op == "fresh":
            await self.fresh()
            return Frame({"value": None})
        raise EvaluatorFailedError(f"the tests asked for {str(op)[:80]!r}")

    async def _run(self, argv: list[str], timeout_s: float | None, stdin: bytes) -> ExecResult:
        assert self._sandbox is not None
        left_s = self._spec.timeout_s - self.used_s
        if left_s <= 0:
            evidence = f"the {self._spec.timeout_s:g} s of all commands together are used up"
            return ExecResult(ExecEnd.TIMEOUT, 0, b"", b"", 0.0, evidence)
        bounds = (timeout_s, self._spec.command_timeout_s, left_s)
        ended = await self._sandbox.exec(
            argv,
            timeout_s=min(bound for bound in bounds if bound is not None),
            stdin=stdin,
            max_output_bytes=self._spec.max_output_bytes,
        )
        self.used_s += ended.duration_s
        return ended


PROBLEMS = {
    FileNotFoundError: "no such file",
    PermissionError: "not a regular file of the tree",
    OverflowError: "too large",
}


def _command(request: dict[str, Json]) -> tuple[list[str], float | None]:
    argv, timeout_s = request.get("argv"), request.get("timeout_s")
    words = [each for each in argv if isinstance(each, str)] if isinstance(argv, list) else []
    if not words or not isinstance(argv, list) or len(words) != len(argv):
        raise EvaluatorFailedError("the tests asked for a command that is no list of words")
    if timeout_s is None:
        return words, None
    if type(timeout_s) not in (int, float) or not 0 < float(str(timeout_s)) < math.inf:
        raise EvaluatorFailedError(f"the tests set a limit of {timeout_s!r:.80} seconds")
    return words, float(str(timeout_s))


def _told(ended: ExecResult) -> Frame:
    value: dict[str, Json] = {
        "ended": ended.end.value,
        "exit_code": ended.exit_code,
        "stdout": {"__bytes__": len(ended.stdout)},
        "stderr": {"__bytes__": len(ended.stderr)},
        "seconds": ended.duration_s,
    }
    return Frame({"value": value}, ended.stdout + ended.stderr)


async def _relay(judge: CommandStream, tree: _Tree, max_data_bytes: int) -> Json:
    """Do what the tests ask for until they report; None when they end without a report.

    Raises:
        EvaluatorFailedError: They broke the protocol.
    """
    reader = FrameReader(judge, max_data_bytes)
    try:
        while (asked := await reader.read()) is not None:
            if asked.document.get("op") == "answer":
                return asked.document.get("answer")
            await judge.write((await tree.answer(asked)).encoded())
    except FrameError as error:
        raise EvaluatorFailedError(f"a message of the tests: {error}") from None
    except ConnectionError:
        pass  # they ended; how is told by their result
    return None


def _checked(report: Json, ended: ExecResult, detail: str) -> _Report:
    """The report of tests that ended as they should.

    Raises:
        EvaluatorFailedError: They did not.
    """
    if isinstance(report, dict) and "error" in report:
        raise EvaluatorFailedError("\n".join(filter(None, (detail, clean(str(report["error"]))))))
    if not ended.ok:
        raise EvaluatorFailedError("\n".join((how_it_ended(ended, "the tests")[1], detail)))
    try:
        return _Report.model_validate_json(json.dumps(report), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise EvaluatorFailedError(f"the tests' report: {first['loc']}: {first['msg']}") from None


def _verdict(stage: Stage, outcome: _Outcome, spec: RepositorySpec) -> Verdict:
    """The verdict on what the tests report.

    Raises:
        EvaluatorFailedError: The metric that is the score was not reported.
    """
    built = outcome.built
    build = () if built is None else (_build_stage(built),)
    report = outcome.report
    if report is None:
        assert built is not None
        status, evidence = how_it_ended(built, "the build")
        feedback = clean("\n".join(filter(None, (evidence, printed(built)))))
        return Verdict(status, feedback=feedback, stages=build)
    counts = {name: sum(test[1] == name for test in report.tests) for name in COUNTED}
    total = sum(counts.values())
    score = _score(report, counts[PASSED], total, spec)
    status = Status.INVALID if score is None else Status.SCORED
    metrics = {**report.metrics, "tests": float(total), PASSED: float(counts[PASSED])}
    return Verdict(
        status=status,
        score=score,
        metrics=metrics if score is not None else {},
        feedback=_feedback(report, counts[PASSED], total, spec),
        stages=(*build, stage.ended(status, outcome.detail), *map(_test_stage, report.tests)),
    )


def _score(report: _Report, passed: int, total: int, spec: RepositorySpec) -> float | None:
    if total == 0:
        raise EvaluatorFailedError("every test was skipped")
    if spec.score == PASSED:
        return passed / total
    if passed < total:
        return None
    if spec.score not in report.metrics:
        raise EvaluatorFailedError(f"no test reported the metric {spec.score!r}, the score")
    return report.metrics[spec.score]


def _feedback(report: _Report, passed: int, total: int, spec: RepositorySpec) -> str:
    told = [f"{passed} of {total} tests passed."]
    if spec.score != PASSED and passed < total:
        told.append("All of them must.")
    if not spec.secret_tests:
        wrong = [test for test in report.tests if test[1] in ("failed", "error")]
        told += [f"{outcome} {name}: {message}" for name, outcome, message, _ in wrong][
            :MAX_FEEDBACK_TESTS
        ]
        if len(wrong) > MAX_FEEDBACK_TESTS:
            told.append(f"... and {len(wrong) - MAX_FEEDBACK_TESTS} more")
    return clean("\n".join(told))


def _build_stage(built: ExecResult) -> StageResult:
    status = Status.SCORED if built.ok else how_it_ended(built)[0]
    return StageResult("build", status, built.duration_s, printed(built))


def _test_stage(test: tuple[str, str, str, float]) -> StageResult:
    name, outcome, message, spent_s = test
    status = Status.SCORED if outcome in (PASSED, "skipped") else Status.INVALID
    detail = outcome if not message else f"{outcome}: {clean(message)}"
    return StageResult(f"test {name}", status, spent_s, detail)
