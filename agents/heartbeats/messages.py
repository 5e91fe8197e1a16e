"""Texts and conditions of rules: Jinja2 in a sandbox, checked before a run starts."""

import functools
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from harness.agents.heartbeats.base import AgentView, AttemptView, HeartbeatRule, TeamView
from harness.agents.text import clip, one_line
from harness.errors import ConfigurationError

_SHIPPED = "heartbeat_{name}.md.j2"
MAX_CHARACTERS = 8000

_DONE = {
    "prompt": "",
    "pivot": " This directive ends here; the next one starts from another branch.",
    "restart": " Your conversation starts again from a summary.",
    "retune": " You go on with other settings of the model.",
    "pause": " You were paused for a while; go on.",
    "retire": "",
    "spawn": " You have just joined the team.",
    "fork": " You have just joined the team, with a copy of another agent's conversation.",
    "merge": "",
}
"""What a rule without a text of its own says of its action."""

ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What text of a user's own can raise when it is read, compiled or rendered."""


class ConditionError(Exception):
    """A rule's condition cannot be decided."""


class _Template(Protocol):
    def render(self, **values: Any) -> str: ...


def message(
    rule: HeartbeatRule,
    team: TeamView,
    agent: AgentView,
    *,
    reason: str,
    key: str,
    folders: Sequence[Path] = (),
) -> str:
    """What the rule says to an agent. Never raises: a text that cannot be rendered gives way to
    the reason, since `check_rules` renders samples only and no message must end a run."""
    try:
        template = _template(rule.name, rule.prompt, tuple(folders))
        if template is not None:
            values = {"agent": agent, "team": team, "rule": rule, "reason": reason, "key": key}
            return clip(template.render(**values).strip(), MAX_CHARACTERS)
    except ERRORS:
        pass
    return f"[heartbeat: {rule.name}]\n{reason[:1].upper()}{reason[1:]}.{_DONE[rule.action.do]}"


def condition_holds(rule: HeartbeatRule, team: TeamView, agent: AgentView | None) -> bool:
    """Whether the rule's `when` is true; without one it always is.

    Raises:
        ConditionError: It cannot be decided: a name or a comparison that makes no sense now.
    """
    if rule.when is None:
        return True
    values: dict[str, Any] = {"team": team, "rule": rule}
    if agent is not None:
        values["agent"] = agent
    try:
        return bool(_expression(rule.when)(**values))
    except ERRORS as error:
        raise ConditionError(str(error) or type(error).__name__) from error


def check_rules(rules: Sequence[HeartbeatRule], folders: Sequence[Path] = ()) -> None:
    """Render every rule's message and condition with and without scores, before a run starts.

    Raises:
        ConfigurationError: Two rules of one name, a template that cannot be rendered, a condition
            that cannot be decided.
    """
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise ConfigurationError(
                f"two heartbeat rules are called {rule.name!r}",
                expected="each rule's name once",
                action="rename one of them under `heartbeats` in harness.yaml",
            )
        seen.add(rule.name)
        for agent, team in _samples(rule):
            _check_message(rule, team, agent, tuple(folders))
            _check_condition(rule, team, agent)


def _check_message(
    rule: HeartbeatRule, team: TeamView, agent: AgentView, folders: tuple[Path, ...]
) -> None:
    try:
        template = _template(rule.name, rule.prompt, folders)
        if template is None and rule.action.do == "prompt":
            raise jinja2.TemplateNotFound(
                _SHIPPED.format(name=rule.name),
                message="it has no `prompt`, and no shipped message is called so",
            )
        if template is not None:
            template.render(agent=agent, team=team, rule=rule, reason="a reason", key="a-key-1")
    except ERRORS as error:
        raise ConfigurationError(
            f"the message of the heartbeat rule {rule.name!r} cannot be rendered: {error}",
            expected="Jinja2 text that uses `agent`, `team`, `rule`, `reason` and `key` "
            "(write {{ '{{' }} for literal double braces; scores may be none)",
            action=f"correct `prompt` of the rule {rule.name!r}",
        ) from error


def _check_condition(rule: HeartbeatRule, team: TeamView, agent: AgentView) -> None:
    try:
        condition_holds(rule, team, None if rule.scope == "team" else agent)
    except ConditionError as error:
        names = "`team` and `rule`" if rule.scope == "team" else "`agent`, `team` and `rule`"
        raise ConfigurationError(
            f"the condition of the heartbeat rule {rule.name!r} cannot be decided: {error}",
            expected=f"a Jinja2 expression over {names}; scores may be none, lists may be empty",
            action=f"correct `when` of the rule {rule.name!r}",
        ) from error


@functools.cache
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _score
    environment.filters["line"] = _line
    environment.filters["result"] = _result
    return environment


@functools.lru_cache(maxsize=256)
def _expression(when: str) -> Any:
    return _environment().compile_expression(when, undefined_to_none=False)


@functools.lru_cache(maxsize=256)
def _template(rule: str, prompt: str | None, folders: tuple[Path, ...]) -> _Template | None:
    """A rule's template: its own text, or the file of its name in the folders, or the shipped one;
    None without any."""
    if prompt is not None:
        return _environment().from_string(prompt)
    name = _SHIPPED.format(name=rule)
    shipped = resources.files("harness.agents").joinpath("prompts", name)
    for file in (*(folder / name for folder in folders), shipped):
        if file.is_file():
            return _environment().from_string(file.read_text(encoding="utf-8"))
    return None


def _score(value: float | None) -> str:
    """Ten significant digits, as everywhere."""
    return "none" if value is None else f"{value:.10g}"


def _line(text: str, limit: int = 120) -> str:
    """Text of an agent on one line."""
    return one_line(text, limit=limit)


def _result(attempt: AttemptView) -> str:
    """An attempt's score, or how it ended."""
    return attempt.status if attempt.score is None else f"score {attempt.score:.10g}"


def _samples(rule: HeartbeatRule) -> Sequence[tuple[AgentView, TeamView]]:
    """An agent and a team without any score, and with some."""
    attempt = AttemptView("7", "agent-2", "improve", "scored", 1.5, "a title", "3", "0" * 40, 1.0)
    failed = AttemptView("8", "agent-1", "debug", "failed", None, "a title", "7", "1" * 40, 2.0)
    new = AgentView("agent-1", 5, 5)
    old = AgentView(
        "agent-1",
        5,
        2,
        1.0,
        "3",
        0.5,
        "a title",
        role="careful",
        focus="a lane",
        operator="improve",
        base="3",
        crash_ages=(60.0,),
        streaks={rule.epsilon: 2},
        recent=(failed,),
    )
    scored = TeamView(
        9,
        1.5,
        "7",
        "agent-2",
        (old, new),
        since_improvement=1,
        budget_used=0.5,
        limits="10 evaluations",
        evaluations_left=5,
        streaks={rule.epsilon: 2},
        recent=(attempt, failed),
    )
    return ((new, TeamView(5, agents=(new,))), (old, scored))
