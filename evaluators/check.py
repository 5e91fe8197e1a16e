"""`task check`: scores the seed, the cheats and the honest examples through the real evaluator."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from harness.attempt import Status, Verdict, better
from harness.errors import SubmissionRefusedError
from harness.evaluators.base import EvaluationJob
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.open import open_evaluator
from harness.evaluators.pool import EvaluatorPool
from harness.evaluators.submission import FilesSubmission, submission_rules
from harness.ids import AttemptId
from harness.sandbox.config import SandboxConfig
from harness.sandbox.scan import scan
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.tasks.evaluation import AnswerSpec, CommandSpec, OnePhaseSpec
from harness.tasks.folder import files_below, hash_files

CASES = {"cheats": False, "honest": True}
"""Folders of example submissions, and whether theirs must score."""
SLOW_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Case:
    """An example submission, its files laid over the seed's, and what became of it."""

    kind: str
    name: str
    verdict: Verdict
    ok: bool


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What a check found. Problems make the task unfit to launch; warnings don't."""

    task: Task
    sandbox: str
    seed: Verdict
    cases: tuple[Case, ...]
    visible: tuple[str, ...]
    hidden: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


async def check_task(task: Task, config: SandboxConfig, evaluators: EvaluatorConfig) -> TaskReport:
    """Check a loaded task.

    Raises:
        TaskError: Its submission patterns or its environment cannot be used.
        ConfigurationError: The sandbox provider does not work here.
    """
    async with open_evaluator(task, config, evaluators) as opened:
        pool = opened.pool
        names = [(kind, name) for kind in CASES for name in case_folders(task, kind)]
        verdicts = await asyncio.gather(
            score_folders(pool, task, task.seed),
            score_folders(pool, task, task.seed),
            *(score_folders(pool, task, task.seed, task.folder / k / n) for k, n in names),
        )
        sandbox = opened.capabilities.name
    seed, again, *others = verdicts
    cases = tuple(
        Case(kind, name, verdict, (verdict.status is Status.SCORED) == CASES[kind])
        for (kind, name), verdict in zip(names, others, strict=True)
    )
    return TaskReport(
        task=task,
        sandbox=sandbox,
        seed=seed,
        cases=cases,
        visible=_listed(task.seed) + (_listed(task.knowledge) if task.knowledge else ()),
        hidden=tuple(
            name for part in (task.evaluator, task.private) if part for name in _listed(part)
        ),
        problems=(*_seed_problems(task, seed), *map(_case_problem, _wrong(cases)), *_leaks(task)),
        warnings=(*_value_warnings(task, seed), *_run_warnings(task, seed, again)),
    )


def case_folders(task: Task, kind: str) -> list[str]:
    """Names of the task's example submissions of a kind."""
    folder = task.folder / kind
    return (
        sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    )


async def score_folders(pool: EvaluatorPool, task: Task, *folders: Path) -> Verdict:
    """Score the files of a folder, those of further folders laid over them.

    What may not be submitted is a verdict too: `invalid`, as an agent would be refused.

    Raises:
        TaskError: A pattern of `submission` means nothing.
        NotADirectoryError: A folder is none.
    """
    rules = submission_rules(task)
    files: dict[str, TreeFile] = {}
    try:
        for folder in folders:
            # The user's own folders: a package installer may have hard-linked files in them.
            files.update(scan(folder, rules, hard_links=True))
        if rules.check is not None:
            rules.check(files)
    except SubmissionRefusedError as refused:
        return Verdict(Status.INVALID, feedback=str(refused))
    return await pool.evaluate(EvaluationJob(AttemptId("0"), FilesSubmission(files)))


def _listed(folder: Path) -> tuple[str, ...]:
    return tuple(f"{folder.name}/{name}" for name, _ in files_below(folder))


def _seed_problems(task: Task, seed: Verdict) -> list[str]:
    problems: list[str] = []
    if seed.status is not Status.SCORED:
        detail = seed.stages[-1].detail if seed.status is Status.EVALUATOR_ERROR else seed.feedback
        problems.append(f"the seed does not score, it is {seed.status}: {detail or 'no reason'}")
    baseline, best = task.file.baseline, task.file.best_known
    if baseline and best and better(task.direction, baseline.value, best.value):
        problems.append(
            f"baseline {baseline.value:g} is better than best_known {best.value:g}: one of them or "
            f"direction ({task.direction}) is wrong"
        )
    return problems


def _wrong(cases: tuple[Case, ...]) -> list[Case]:
    return [case for case in cases if not case.ok]


def _case_problem(case: Case) -> str:
    where = f"{case.kind}/{case.name}"
    if case.verdict.status is Status.SCORED:
        return f"{where} must not score, and scores {case.verdict.score!r}"
    return f"{where} must score, and is {case.verdict.status}: {case.verdict.feedback}"


def _leaks(task: Task) -> list[str]:
    """Private files that agents are given a copy of."""
    if task.private is None:
        return []
    shown = [*files_below(task.seed), *(files_below(task.knowledge) if task.knowledge else ())]
    public = {hash_files([("", path)]): name for name, path in shown if path.stat().st_size}
    found = (
        (name, public.get(hash_files([("", path)]))) for name, path in files_below(task.private)
    )
    return [f"private/{name} is given to agents, as {where}" for name, where in found if where]


def _value_warnings(task: Task, seed: Verdict) -> list[str]:
    if seed.score is None:
        return []
    file, warnings = task.file, list[str]()
    if file.best_known and better(task.direction, seed.score, file.best_known.value):
        warnings.append(f"the seed is better than best_known {file.best_known.value:g}")
    if file.target is not None and not better(task.direction, file.target, seed.score):
        warnings.append(f"the seed reaches the target {file.target:g}: a run would end at once")
    return warnings


def _run_warnings(task: Task, seed: Verdict, again: Verdict) -> list[str]:
    spec, warnings = task.file.evaluator, list[str]()
    if spec.repeats == 1 and not _same(seed, again, spec.noise):
        warnings.append(
            f"the seed scored {seed.score!r}, then {again.score!r}: set evaluator.repeats, or what "
            "differences mean nothing in evaluator.noise"
        )
    limits = {
        "produce": spec.timeout_s,
        "serve": spec.timeout_s,
        "in_process": spec.timeout_s,
        "judge": spec.judge_timeout_s,
    }
    for stage in seed.stages:
        limit = limits.get(stage.name)
        if limit is not None and stage.duration_s > SLOW_SHARE * limit:
            warnings.append(f"{stage.name} took {stage.duration_s:.1f} s of {limit:g} s")
    if isinstance(spec, OnePhaseSpec):
        warnings.append(
            "evaluator.kind is one_phase: candidates run in the evaluator's process, can read what "
            "is private and can make their score up"
        )
    if isinstance(spec, CommandSpec):
        warnings.append(
            "evaluator.kind is command: what candidates print or write is their score, so they can "
            "make it up"
        )
    if isinstance(spec, AnswerSpec):
        seeded = {name for name, _ in files_below(task.seed)}
        for output in seeded.intersection(spec.outputs):
            warnings.append(
                f"seed/{output} is an output: candidates that write none are judged by it"
            )
    return warnings


def _same(one: Verdict, other: Verdict, noise: float) -> bool:
    if one.score is None or other.score is None:
        return (one.status, one.score) == (other.status, other.score)
    return abs(one.score - other.score) <= noise * max(abs(one.score), abs(other.score))
