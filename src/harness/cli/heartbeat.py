"""`harness heartbeat`: the rules in force, what they did, and how to change them."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import App, Parameter, validators
from pydantic import ValidationError

from harness.cli.control import assignment
from harness.cli.output import (
    JsonFlag,
    RunsDir,
    format_score,
    print_answer,
    print_json,
    print_table,
    runs_folder,
)
from harness.clock import isoformat
from harness.errors import ConfigurationError, StoreError, UserError
from harness.run.folder import RunFolder, find_run, live_process
from harness.text import visible

if TYPE_CHECKING:
    from harness.agents.heartbeats.base import Mark
    from harness.agents.heartbeats.config import HeartbeatRule
    from harness.run.firings import FiringView, Stretch

app = App(name="heartbeat", help="Rules that watch agents and the team, and what they did.")

RunReference = Annotated[str, Parameter(help="A run's folder, its id, or latest.")]
TEXTS = frozenset({"prompt", "when", "to", "action.model", "action.role"})
Rule = Annotated[str, Parameter(help="Name of the rule: harness heartbeat list.")]


@app.command(name="list")
def list_(
    run: RunReference = "latest", /, *, runs_dir: RunsDir = None, json: JsonFlag = False
) -> None:
    """The rules in force, how often each fired, and when it is due next."""
    from harness.run.firings import read_rules, rules_document

    folder = find_run(run, runs_folder(runs_dir))
    rules = read_rules(folder)
    if json:
        print_json(rules_document(folder, rules))
        return
    if not rules:
        print("no rule is in force: nothing fires")
        return
    print_table(
        ("rule", "when", "reaches", "action", "fired", "last", "next"),
        [
            (
                each.rule.name,
                each.trigger + (f", if {each.rule.when}" if each.rule.when else ""),
                each.rule.reach if each.rule.scope == "team" else "the agent",
                each.rule.action.do + (", urgent" if each.rule.urgent else ""),
                each.fired,
                None if each.last_at is None else isoformat(each.last_at)[:19],
                _next(each.subjects),
            )
            for each in rules
        ],
    )


@app.command
def log(
    run: RunReference = "latest",
    /,
    *,
    rule: Annotated[str | None, Parameter(help="Only this rule; `user`: what was told.")] = None,
    agent: Annotated[str | None, Parameter(help="Only what looked at or reached it.")] = None,
    within: Annotated[
        int,
        Parameter(
            help="Compare so many attempts of each agent, before and after.",
            validator=validators.Number(gte=1),
        ),
    ] = 5,
    limit: Annotated[
        int | None,
        Parameter(help="So many, the newest; by default all.", validator=validators.Number(gte=1)),
    ] = None,
    text: Annotated[bool, Parameter(negative=(), help="The messages as well.")] = False,
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """Each firing: why, what was done, and what changed after it, oldest first."""
    from harness.run.firings import log_document, read_firings

    folder = find_run(run, runs_folder(runs_dir))
    found = [
        each
        for each in read_firings(folder, within=within)
        if (rule is None or each.rule == rule)
        and (agent is None or agent in (each.subject, *each.targets, *(t.agent for t in each.told)))
    ]
    found = found if limit is None else found[-limit:]
    if json:
        print_json(log_document(folder, found))
        return
    for each in found:
        print("\n".join(visible(line) for line in _lines(each, with_text=text)))
    if not found:
        print("nothing has fired")


@app.command(name="set")
def set_(
    run: RunReference,
    name: Rule,
    /,
    *assignments: Annotated[
        str, Parameter(help="key=value as in harness.yaml: every=6, action=pivot, urgent=true …")
    ],
    runs_dir: RunsDir = None,
    json: JsonFlag = False,
) -> None:
    """Change a rule, add one, or put a built-in one back in force.

    On a live run at once; of another run the saved configuration, for its resume. `key=null` puts
    a key back to its default.
    """
    from harness.agents.heartbeats.rules import check_rules

    folder = find_run(run, runs_folder(runs_dir))
    document = _changed(_rules(folder), name, dict(map(_assignment, assignments)))
    check_rules([_validated(document)], _folders(folder))
    _apply(folder, name, document, json=json)


@app.command
def off(
    run: RunReference, name: Rule, /, *, runs_dir: RunsDir = None, json: JsonFlag = False
) -> None:
    """Put a rule out of force; on a live run at once, of another run for its resume."""
    folder = find_run(run, runs_folder(runs_dir))
    known = [each["name"] for each in _rules(folder)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"run {folder.id} has no heartbeat rule {name!r} in force",
            expected=f"one of {', '.join(known) or 'none: nothing is in force'}",
            action=f"did you mean {near[0]!r}?" if near else f"harness heartbeat list {folder.id}",
        )
    _apply(folder, name, None, json=json)


def _apply(folder: RunFolder, name: str, document: Mapping[str, Any] | None, *, json: bool) -> None:
    from harness.run.control import send

    if live_process(folder) is not None:
        answer = send(folder, "heartbeat", name=name, rule=document)
    else:
        answer = _save(folder, name, document)
    print_answer(folder.id, answer, json=json)


def _save(folder: RunFolder, name: str, document: Mapping[str, Any] | None) -> str:
    """Change the saved configuration of a run that nobody runs meanwhile."""
    from harness.run.config import read_saved, save_config, validate
    from harness.run.folder import RunLock
    from harness.run.rules import replaced

    lock = RunLock(folder)
    try:
        lock.acquire()
        try:
            config = read_saved(folder.config)
            rules = replaced(_rules(folder), name, document)
            new = validate(config.model_dump() | {"heartbeats": rules}, "harness heartbeat")
            save_config(new, folder.config)
        finally:
            lock.release()
    except OSError as error:
        raise StoreError(f"{folder.config} cannot be changed: {error}") from error
    return f"heartbeat {name} is {'off' if document is None else 'set'} when the run is resumed"


def _rules(folder: RunFolder) -> list[dict[str, Any]]:
    """The rules in force, without what is at its default."""
    from harness.run.config import read_saved
    from harness.run.rules import heartbeat_rules

    rules = heartbeat_rules(read_saved(folder.config))
    return [each.model_dump(mode="json", exclude_defaults=True) for each in rules]


def _folders(folder: RunFolder) -> Sequence[Path]:
    from harness.run.config import read_saved
    from harness.run.rules import prompt_folders

    return prompt_folders(folder.task, read_saved(folder.config).agent)


def _changed(
    rules: Sequence[Mapping[str, Any]], name: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The rule of this name, else the built-in one, with some keys changed."""
    from harness.agents.heartbeats.config import BUILT_IN, OF_TRIGGERS

    known = next((dict(each) for each in rules if each["name"] == name), None)
    document: dict[str, Any] = known or {**BUILT_IN.get(name, {}), "name": name}
    if "trigger" in values and values["trigger"] != document.get("trigger"):
        for key in OF_TRIGGERS:
            document.pop(key, None)
    for key, value in values.items():
        into, (*path, last) = document, key.split(".")
        for part in path:
            inner = into.get(part)
            into[part] = dict(cast(Mapping[str, Any], inner)) if isinstance(inner, dict) else {}
            into = into[part]
        if value is None:
            into.pop(last, None)
        else:
            into[last] = value
    return document


def _validated(document: Mapping[str, Any]) -> "HeartbeatRule":
    from harness.agents.heartbeats.config import HeartbeatRule

    try:
        return HeartbeatRule.model_validate(document)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        said = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        wrong = f"{key!r} of the" if key else "the"
        raise ConfigurationError(
            f"{wrong} heartbeat rule {document['name']!r} cannot be used",
            expected=said,
            action="see docs/heartbeats.md for the keys of each trigger and action",
        ) from None


def _assignment(text: str) -> tuple[str, Any]:
    """`key=value`; texts are taken as they are, braces and all, other values are YAML."""
    key, equals, value = text.partition("=")
    if equals and key.strip() in TEXTS and value.strip() != "null":
        return key.strip(), value
    return assignment(text)


def _next(subjects: "Mapping[str, tuple[Mark, str]]") -> str:
    """When a rule is due next, for whom it is due first."""
    told = [(agent, due) for agent, (_, due) in subjects.items() if due]
    if not told:
        return ""
    agent, due = told[0]
    more = f", and {len(told) - 1} more" if len(told) > 1 else ""
    return f"{agent}: {due}{more}" if agent else due


def _lines(firing: "FiringView", *, with_text: bool) -> list[str]:
    """A firing for people."""
    whom = firing.subject or "team"
    done = f", {firing.action}" if firing.action != "prompt" else ""
    lines = [f"{isoformat(firing.at)[:19]}  {firing.rule}  {whom}{done}: {firing.reason}"]
    if firing.outcome:
        lines.append(f"    done    {firing.outcome}")
    given = [each.agent for each in firing.told if each.delivered_at is not None]
    waiting = [each.agent for each in firing.told if each.delivered_at is None]
    if given:
        lines.append(f"    told    {', '.join(dict.fromkeys(given))}")
    if waiting:
        lines.append(f"    waits   for {', '.join(dict.fromkeys(waiting))}")
    if firing.note:
        lines.append(f"    note    {firing.note[:12]}, passed on")
    lines.append(f"    before  {_stretch(firing.before)}")
    change = "better" if firing.improved else "no better"
    after = f"{_stretch(firing.after)}; {change}" if firing.after.attempts else "nothing yet"
    lines.append(f"    after   {after}")
    if with_text:
        for each in firing.told:
            lines += [f"    | {line}" for line in (f"to {each.agent}:", *each.text.splitlines())]
    return lines


def _stretch(stretch: "Stretch") -> str:
    if not stretch.attempts:
        return "no attempt"
    parts = [
        f"best {format_score(stretch.best)}",
        ", ".join(f"{count} {status}" for status, count in stretch.statuses.items()),
        ", ".join(f"{count} {operator}" for operator, count in stretch.operators.items()),
        f"branch {', '.join(stretch.branches)}",
    ]
    return f"{len(stretch.attempts)} attempts: {'; '.join(parts)}"
