"""The rule engine: which rules fire, and what they say. Pure; `run` delivers and journals."""

import functools
from collections.abc import Sequence
from importlib import resources

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from harness.agents.heartbeats.base import AgentView, HeartbeatRule, Intervention, TeamView
from harness.errors import ConfigurationError

_SHIPPED = "heartbeat_{name}.md.j2"


def default_rules() -> tuple[HeartbeatRule, ...]:
    """`reflect` every 5 evaluations, `pivot` after 8 without a personal best."""
    return (
        HeartbeatRule(name="reflect", trigger="interval", every=5),
        HeartbeatRule(name="pivot", trigger="plateau", every=8),
    )


def evaluate_rules(
    rules: Sequence[HeartbeatRule], agent: AgentView, team: TeamView
) -> list[Intervention]:
    """What the rules have to say to `agent` now, in their order.

    Whoever calls this records each firing as `last_fired[rule] = evaluations`. An interval fires
    once when a multiple of N has been reached since the last firing, however many were jumped over.
    """
    interventions: list[Intervention] = []
    for rule in rules:
        reason = _interval(rule, agent) if rule.trigger == "interval" else _plateau(rule, agent)
        if reason:
            text = _render(rule, agent, team, reason)
            interventions.append(Intervention(rule.name, agent.agent, reason, text))
    return interventions


def check_rules(rules: Sequence[HeartbeatRule]) -> None:
    """Render every rule's message with and without scores, before the run starts.

    Raises:
        ConfigurationError: Two rules of one name, or a template that cannot be rendered.
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
        for agent, team in _samples():
            try:
                _template(rule.name, rule.prompt).render(agent=agent, team=team, rule=rule)
            except _TEMPLATE_ERRORS as error:
                raise ConfigurationError(
                    f"the message of the heartbeat rule {rule.name!r} cannot be rendered: {error}",
                    expected="Jinja2 text that uses `agent`, `team` and `rule` "
                    "(write {{ '{{' }} for literal braces; scores may be none)",
                    action=f"correct `prompt` of the rule {rule.name!r} in harness.yaml",
                ) from error


_TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What text of a user's own can raise when it is compiled or rendered."""


def _interval(rule: HeartbeatRule, agent: AgentView) -> str:
    last = agent.last_fired.get(rule.name, 0)
    if agent.evaluations // rule.every <= last // rule.every:
        return ""
    return f"{agent.evaluations} evaluations, a heartbeat every {rule.every}"


def _plateau(rule: HeartbeatRule, agent: AgentView) -> str:
    last = agent.last_fired.get(rule.name)
    if agent.since_improvement < rule.every:
        return ""
    if last is not None and agent.evaluations - last < rule.every:
        return ""
    return f"{agent.since_improvement} evaluations without a personal best"


def _render(rule: HeartbeatRule, agent: AgentView, team: TeamView, reason: str) -> str:
    try:
        return _template(rule.name, rule.prompt).render(agent=agent, team=team, rule=rule).strip()
    except _TEMPLATE_ERRORS:
        # `check_rules` renders samples only; a message that fails later must not end a run.
        return f"Heartbeat `{rule.name}`: {reason}."


@functools.cache
def _template(rule: str, prompt: str | None) -> jinja2.Template:
    """A rule's template: its own text in a sandbox, or the shipped file of its name."""
    environment = SandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    if prompt is not None:
        return environment.from_string(prompt)
    name = _SHIPPED.format(name=rule)
    file = resources.files("harness.agents").joinpath("prompts", name)
    if not file.is_file():
        raise jinja2.TemplateNotFound(
            name, message="it has no `prompt`, and no shipped message is called so"
        )
    return environment.from_string(file.read_text(encoding="utf-8"))


def _samples() -> Sequence[tuple[AgentView, TeamView]]:
    """An agent and a team without any score, and with some."""
    new = AgentView("agent-1", 5, 5, None, None, "", {})
    old = AgentView("agent-1", 5, 2, 1.0, 0.5, "a title", {"reflect": 5})
    return (
        (new, TeamView(5, None, None, None, (new,))),
        (old, TeamView(9, 1.5, "7", "agent-2", (old, new))),
    )
