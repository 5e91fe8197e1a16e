"""`harness runs | attempts | show | graph | report`, on live, dead and copied runs."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from harness.attempt import Attempt, Status, verdict_json
from harness.cli.output import (
    JsonFlag,
    RunsDir,
    duration,
    format_score,
    money,
    print_json,
    print_table,
    runs_folder,
)
from harness.events import SCHEMA_VERSION
from harness.run.accounts import Account
from harness.run.folder import find_run
from harness.run.report import render_report
from harness.run.usage import read_usage, usage_document
from harness.run.views import (
    RunView,
    attempt_document,
    attempts_document,
    graph_document,
    late_verdicts,
    read_run,
    runs_document,
)
from harness.sandbox.repository import Repository

RunReference = Annotated[str, Parameter(help="A run's folder, its id, or latest.")]


def runs(*, runs_dir: RunsDir = None, json: JsonFlag = False) -> None:
    """All runs in a folder, oldest first."""
    document = runs_document(runs_folder(runs_dir))
    if json:
        print_json(document)
        return
    if not document["runs"]:
        print(f"no runs in {runs_folder(runs_dir)}; start one: harness launch circle_packing")
        return
    print_table(
        ("run", "state", "evaluations", "best", "wall"),
        [
            (
                run["run"],
                run["state"],
                run["evaluations"],
                format_score(run["best"]["score"] if run["best"] else None),
                duration(run["wall_s"]),
            )
            for run in document["runs"]
        ],
    )


def attempts(
    run: RunReference = "latest",
    *,
    best: Annotated[bool, Parameter(negative=(), help="Best first.")] = False,
    limit: Annotated[
        int | None,
        Parameter(help="So many; by default all.", validator=validators.Number(gte=1)),
    ] = None,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """The attempts of a run, the seed first."""
    view = read_run(find_run(run, runs_folder(runs_dir)))
    found = list(view.attempts)
    if best:
        sign = 1 if view.minimize else -1
        found = [a for a in found if a.score is not None]
        found.sort(key=lambda a: (sign * (a.score or 0.0), int(a.id)))
    shown = found if limit is None else found[:limit]
    if json:
        print_json(attempts_document(view, shown))
        return
    print_table(
        ("id", "status", "score", "agent", "operator", "parent", "refs", "title"),
        [
            (
                a.id,
                a.status.value,
                format_score(a.score),
                a.agent,
                a.operator.value,
                ",".join(a.parents) or "-",
                ",".join(a.references) or "-",
                a.title[:70],
            )
            for a in shown
        ],
    )
    if len(shown) < len(found):
        print(f"showing {len(shown)} of {len(found)}")


def show(
    run: RunReference,
    attempt: Annotated[str, Parameter(help="Number of the attempt, or its commit.")],
    *,
    diff: Annotated[bool, Parameter(negative=(), help="The change against its parent.")] = False,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """One attempt: verdict, metrics, feedback, files, diff."""
    view = read_run(find_run(run, runs_folder(runs_dir)))
    found = view.attempt(attempt)
    account = read_usage(view.folder).attempts.get(found.id)
    repository = Repository.open(view.folder.repository)
    try:
        files = sorted(repository.files(found.tree))
        change = _change(repository, view, found) if diff else None
    finally:
        repository.close()
    if json:
        verdict = verdict_json(found.verdict) if found.verdict is not None else None
        document = {"schema_version": SCHEMA_VERSION, "run": view.folder.id}
        extra = {
            "verdict": verdict,
            "late": late_verdicts(view.folder, found.id),
            "files": files,
            "detail": dict(found.detail),
            "usage": usage_document(account),
            "diff": change,
        }
        print_json(document | attempt_document(found) | extra)
        return
    _print_attempt(found, files, account)
    if change is not None:
        print("\n" + (change or "no change against the parent"))


def _change(repository: Repository, view: RunView, attempt: Attempt) -> str:
    if not attempt.parents:
        return ""
    return repository.diff(view.attempt(attempt.parents[0]).tree, attempt.tree)


def _print_attempt(attempt: Attempt, files: list[str], account: Account | None) -> None:
    print(f"attempt {attempt.id}: {attempt.title}")
    print(f"  commit     {attempt.commit}")
    print(f"  agent      {attempt.agent}, {attempt.operator.value}")
    print(f"  parents    {', '.join(attempt.parents) or '-'}")
    print(f"  references {', '.join(attempt.references) or '-'}")
    print(f"  status     {attempt.status.value}")
    print(f"  score      {format_score(attempt.score)}")
    print(f"  files      {', '.join(files)}")
    if account is not None:
        print(f"  model      {account.calls} calls, {money(account.cost_usd, account.tokens)}")
    if attempt.status is Status.DUPLICATE:
        print(f"  the same tree as attempt {attempt.duplicate_of}")
    verdict = attempt.verdict
    if verdict is None:
        return
    for name, value in sorted(verdict.metrics.items()):
        print(f"  {name:<10} {value:.10g}")
    for stage in verdict.stages:
        print(f"  {stage.name:<10} {stage.status.value} in {duration(stage.duration_s)}")
    if verdict.feedback:
        print("feedback:\n  " + verdict.feedback.replace("\n", "\n  "))


def graph(
    run: RunReference = "latest", *, runs_dir: RunsDir = None, json: JsonFlag = False
) -> None:
    """The tree of attempts along parent edges; references in brackets."""
    view = read_run(find_run(run, runs_folder(runs_dir)))
    if json:
        print_json(graph_document(view))
        return
    children: dict[str, list[Attempt]] = {}
    for attempt in view.attempts:
        children.setdefault(attempt.parents[0] if attempt.parents else "", []).append(attempt)
    best, front = view.best, view.front
    stack = [(attempt, 0) for attempt in reversed(children.get("", []))]
    while stack:
        attempt, depth = stack.pop()
        mark = " *best*" if best is not None and attempt.id == best.id else ""
        mark += " *front*" if front is not None and attempt.id in front.members else ""
        references = f" [{', '.join(attempt.references)}]" if attempt.references else ""
        result = format_score(attempt.score) if attempt.score is not None else attempt.status.value
        print(f"{'  ' * depth}{attempt.id} {attempt.operator.value} {result}{references}{mark}")
        stack += [(child, depth + 1) for child in reversed(children.get(attempt.id, []))]


def report(
    run: RunReference = "latest",
    *,
    out: Annotated[Path | None, Parameter(help="Write to this file.")] = None,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """A run in Markdown: curve, best diff, budget use, operators, failures."""
    view = read_run(find_run(run, runs_folder(runs_dir)), events=True)
    text = render_report(view)
    if json:
        print_json({"schema_version": SCHEMA_VERSION, "run": view.folder.id, "markdown": text})
    elif out is not None:
        out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
