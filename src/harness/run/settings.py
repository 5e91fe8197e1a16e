"""Changes to the configuration of a live run: `harness set RUN key=value`."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from harness.agents.heartbeats.base import HeartbeatRule
from harness.errors import ConfigurationError
from harness.run.budget import Budget
from harness.run.config import RunConfig, merge, nested, validate

LIVE = ("budget", "agents", "agent", "team", "target", "heartbeats", "memory.limit")
"""Keys, or the beginnings of keys, that take effect while a run is live."""
FIXED = ("agent.kind", "agent.command")


def changed(
    config: RunConfig, values: Mapping[str, Any], budget: Budget, rules: Sequence[HeartbeatRule]
) -> RunConfig:
    """`config` with `values` by dotted key; `+N` adds to a budget.

    Args:
        budget: What was used so far: no limit may be set below it.
        rules: The heartbeat rules in force, for keys such as `heartbeats.pivot.every`.

    Raises:
        ConfigurationError: A key that cannot change while a run is live, or a wrong value.
    """
    document = config.model_dump()
    for key, value in values.items():
        _refuse_fixed(key)
        if key.startswith("heartbeats."):
            document["heartbeats"] = _rules(key, value, document["heartbeats"], rules)
        elif key == "agents" and not isinstance(config.agents, int):
            document["agents"] = _groups(config, value)
        else:
            merge(document, nested(key.split("."), _added(key, value, config)))
    new = validate(document, "harness set")
    _refuse_spent(new, budget)
    return new


def _refuse_fixed(key: str) -> None:
    live = any(key == each or key.startswith(f"{each}.") for each in LIVE)
    if not live or key in FIXED:
        raise ConfigurationError(
            f"{key!r} cannot be changed while the run is live",
            expected=f"a key of {', '.join(LIVE)}",
            action="stop the run; some settings are fixed at launch",
        )


def _added(key: str, value: Any, config: RunConfig) -> Any:
    if not (isinstance(value, str) and value.startswith("+")):
        return value
    if not key.startswith("budget."):
        raise ConfigurationError(
            f"{key!r} is {value!r}", expected="a new value", action="only budgets take +N"
        )
    old = getattr(config.budget, key.removeprefix("budget."), None)
    try:
        more = float(value)
    except ValueError:
        raise ConfigurationError(
            f"{key!r} is {value!r}", expected="a number after the +", action=f"correct {key!r}"
        ) from None
    total = (old or 0) + more
    return int(total) if total == int(total) else total


def _rules(key: str, value: Any, saved: Any, rules: Sequence[HeartbeatRule]) -> list[Any]:
    _, name, *path = key.split(".")
    documents = [rule.model_dump() for rule in rules] if saved is None else cast(list[Any], saved)
    for document in documents:
        if document["name"] == name and path:
            merge(document, nested(path, value))
            return documents
    raise ConfigurationError(
        f"{key!r} names no setting of a heartbeat rule",
        expected=f"heartbeats.RULE.KEY with one of {', '.join(rule.name for rule in rules)}",
        action="harness heartbeat list",
    )


def _groups(config: RunConfig, value: Any) -> Any:
    """A number of agents for a team of groups: the first group takes up the difference."""
    if not isinstance(value, int):
        return value
    groups = [group.model_dump() for group in config.groups]
    count = groups[0]["count"] + value - config.agent_count
    if count < 0:
        raise ConfigurationError(
            f"'agents' is {value}",
            expected="at least as many as the groups behind the first one have",
            action="retire agents of other groups by a heartbeat rule, or relaunch",
        )
    groups[0]["count"] = count
    return groups


def _refuse_spent(config: RunConfig, budget: Budget) -> None:
    limits = config.budget
    used = {
        "budget.evaluations": (budget.evaluations, limits.evaluations),
        "budget.hours": (budget.wall_s / 3600, limits.hours),
        "budget.tokens": (budget.tokens, limits.tokens),
        "budget.usd": (budget.usd or 0.0, limits.usd),
    }
    for key, (value, limit) in used.items():
        if limit is not None and value >= limit:
            raise ConfigurationError(
                f"{key} is {limit:g}, but {value:g} are used already",
                expected="a budget with something left",
                action=f"set a larger one, {key}=+N for instance, or: harness stop",
            )
