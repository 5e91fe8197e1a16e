"""`harness task`: make, check, import and list tasks."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from harness.attempt import Verdict
from harness.cli.evaluate import SandboxFlag, configured, document
from harness.cli.output import JsonFlag, duration, format_score, print_json, print_table
from harness.cli.task_import import import_task
from harness.errors import TaskError
from harness.evaluators.check import TaskReport, check_task
from harness.events import SCHEMA_VERSION
from harness.tasks.base import ReferenceValue
from harness.tasks.evaluation import (
    AnswerSpec,
    CommandSpec,
    EvaluatorSpec,
    OnePhaseSpec,
    RepositorySpec,
    ServeSpec,
)
from harness.tasks.loader import library, load_task
from harness.tasks.scaffold import new_task

EXIT_USER = 2

app = cyclopts.App(name="task", help="Make, check, import and list tasks.")
app.command(import_task, name="import")


@app.command
def new(name: str, /, *, to: Annotated[str, Parameter(help="Folder to make it in.")] = ".") -> None:
    """Write a small working task to start from.

    Parameters
    ----------
    name
        Lower-case letters, digits and underscores.
    """
    parent = Path(to).expanduser()
    if not parent.is_dir():
        raise TaskError(
            f"{to!r} is not a folder", expected="an existing folder", action=f"mkdir -p {to}"
        )
    folder = new_task(name, parent)
    shown = str(folder) if folder.is_absolute() else f"./{folder}"
    print(f"{shown}: a working example, with comments in task.yaml and evaluator/judge.py")
    print(f"  harness task check {shown}\n  harness launch {shown}")


@app.command
def check(path: str = ".", /, *, sandbox: SandboxFlag = None, json: JsonFlag = False) -> int:
    """Load a task, score its seed and its examples, and say what agents see.

    `cheats/` holds submissions that must not score, `honest/` such that must, each laid over the
    seed. Exit code 2 when the task is not fit to launch.

    Parameters
    ----------
    path
        A task folder, or a library task's name.
    """
    task = load_task(path)
    config = configured(sandbox)
    report = asyncio.run(check_task(task, config.sandbox, config.evaluators))
    if json:
        print_json(_report_document(report))
    else:
        _print_report(report)
    return 0 if report.ok else EXIT_USER


@app.command(name="list")
def list_tasks(*, json: JsonFlag = False) -> None:
    """The tasks that ship with the harness."""
    tasks = [load_task(name).file for name in library()]
    if json:
        entries = [
            {
                "name": file.name,
                "direction": file.direction,
                "baseline": _value(file.baseline),
                "best_known": _value(file.best_known),
                "description": file.description,
            }
            for file in tasks
        ]
        print_json({"schema_version": SCHEMA_VERSION, "tasks": entries})
        return
    print_table(
        ("name", "direction", "baseline", "best known", "what"),
        (
            (
                file.name,
                file.direction,
                format_score(_value(file.baseline)),
                format_score(_value(file.best_known)),
                _first_sentence(file.description),
            )
            for file in tasks
        ),
    )


def _value(reference: ReferenceValue | None) -> float | None:
    return None if reference is None else reference.value


def _first_sentence(text: str) -> str:
    sentence = " ".join(text.split()).split(". ")[0].rstrip(".")
    return sentence if len(sentence) <= 72 else sentence[:71] + "…"


def _report_document(report: TaskReport) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "task": report.task.name,
        "ok": report.ok,
        "sandbox": report.sandbox,
        "seed": document(report.seed),
        "cases": [
            {"kind": case.kind, "name": case.name, "ok": case.ok, **document(case.verdict)}
            for case in report.cases
        ],
        "visible": list(report.visible),
        "hidden": list(report.hidden),
        "problems": list(report.problems),
        "warnings": list(report.warnings),
        "origin": None if report.task.origin is None else str(report.task.origin),
        "notes": list(report.task.notes),
    }


def _how_scored(spec: EvaluatorSpec) -> str:
    command = " ".join(spec.command)
    match spec:
        case AnswerSpec():
            return f"{command}  ->  {', '.join(spec.outputs)}"
        case ServeSpec():
            return f"{command}  ->  calls"
        case RepositorySpec():
            return f"{command or '(no build)'}  ->  commands of the tests"
        case CommandSpec():
            return f"{command}  ->  its own number (scores can be made up)"
        case OnePhaseSpec():
            return "(run by the evaluator in its own process: scores can be forged)"


def _print_report(report: TaskReport) -> None:
    file = report.task.file
    print(f"{file.name} ({file.direction}), sandbox {report.sandbox}\n")
    if report.task.origin is not None:
        print(f"Made from {report.task.origin}")
        for note in report.task.notes:
            print(f"  note: {note}")
        print()
    print("Agents see")
    print(f"  the description ({len(file.description.split())} words) and the command:")
    print(f"    {_how_scored(file.evaluator)}")
    for name in report.visible:
        print(f"  {name}")
    print("Agents do not see")
    for name in report.hidden:
        print(f"  {name}")
    print("\nScores")
    rows = [("seed", _outcome(report.seed), True)]
    rows += [(f"{case.kind}/{case.name}", _outcome(case.verdict), case.ok) for case in report.cases]
    width = max(len(name) for name, _, _ in rows)
    for name, outcome, ok in rows:
        print(f"  {name:<{width}}  {outcome}{'' if ok else '   <- WRONG'}")
    for name, reference in (("baseline", file.baseline), ("best known", file.best_known)):
        if reference is not None:
            print(f"  {name:<{width}}  {reference.value:.10g}  ({reference.source})")
    spent = ", ".join(f"{stage.name} {duration(stage.duration_s)}" for stage in report.seed.stages)
    print(f"  one evaluation takes {duration(report.seed.duration_s)} ({spent})\n")
    for warning in report.warnings:
        print(f"warning: {warning}")
    for problem in report.problems:
        print(f"problem: {problem}")
    print("not fit to launch" if report.problems else "fit to launch")


def _outcome(verdict: Verdict) -> str:
    if verdict.score is not None:
        return f"{verdict.status} {format_score(verdict.score)}"
    reason = " ".join(verdict.feedback.split())
    return f"{verdict.status}: {reason if len(reason) <= 80 else reason[:79] + '…'}"
