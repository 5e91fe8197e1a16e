"""What a heartbeat rule is: trigger × condition × cooldown × action."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

Trigger = Literal["interval", "plateau", "silence", "stall", "crashes", "budget", "convergence"]

Action = Literal[
    "prompt", "pivot", "restart", "retune", "pause", "retire", "spawn", "fork", "merge"
]
"""What an intervention does beside its text:

- `prompt`: nothing more.
- `pivot`: the open directive ends at once and the next one expands another branch.
- `restart`: the agent forgets its conversation but for the summary.
- `retune`: the agent goes on with another model or temperature.
- `pause`: the agent stands still for a while.
- `retire`: the agent ends; its attempts stay.
- `spawn`: a new agent joins the team.
- `fork`: a new agent joins that starts with a copy of this one's conversation.
- `merge`: of two agents on one lane the weaker retires; the other one is told what it leaves.

Agents themselves obey `pivot` and `restart`; the run sees to the others.
"""

USER_RULE = "user"
"""The name under which what a person says is queued; no rule may have it."""

MAX_WINDOW = 64
"""Attempts a convergence rule can look back over."""

_TO = re.compile(r"all|best|worst|next|stalled|agent-[1-9][0-9]*")

_NEEDS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "interval": (frozenset({"every"}), frozenset()),
    "plateau": (frozenset({"every"}), frozenset({"epsilon"})),
    "silence": (frozenset({"minutes"}), frozenset()),
    "stall": (frozenset({"minutes"}), frozenset()),
    "crashes": (frozenset({"every", "minutes"}), frozenset()),
    "budget": (frozenset({"fraction"}), frozenset()),
    "convergence": (frozenset({"every"}), frozenset({"threshold", "similarity"})),
}
"""For each trigger, the keys it needs and those it may have."""

OF_TRIGGERS: Final = frozenset[str]().union(*(needs | may for needs, may in _NEEDS.values()))
"""The keys that belong to some triggers only."""

_PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    "pause": frozenset({"minutes"}),
    "retune": frozenset({"model", "temperature"}),
    "spawn": frozenset({"role"}),
}


class Cooldown(BaseModel):
    """How long a rule is quiet after a firing; both must have passed. A bare number: attempts."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    attempts: int = Field(default=0, ge=0)
    """Evaluated attempts of the agent; of a team rule, of the team."""
    minutes: float = Field(default=0.0, ge=0)
    """Minutes of the clock on the wall, also over a resume."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: object) -> object:
        return {"attempts": value} if isinstance(value, int) else value


class HeartbeatAction(BaseModel):
    """What is done when a rule fires. A bare word stands for the action without parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    do: Action = "prompt"
    """`prompt`, `pivot`, `restart`, `retune`, `pause`, `retire`, `spawn`, `fork`, `merge`."""
    minutes: float = Field(default=10.0, gt=0)
    """Of `pause`: for how long."""
    model: str | None = None
    """Of `retune`: name of the model to go on with; None: as it is."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Of `retune`: temperature to go on with; None: as it is."""
    role: str = ""
    """Of `spawn`: role of the new agent."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: object) -> object:
        return {"do": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "HeartbeatAction":
        foreign = _changed(self) - _PARAMETERS.get(self.do, frozenset()) - {"do"}
        if foreign:
            raise ValueError(f"the action {self.do!r} without {_listed(foreign)}")
        if self.do == "retune" and self.model is None and self.temperature is None:
            raise ValueError("the action 'retune' with a model or a temperature")
        return self


class HeartbeatRule(BaseModel):
    """One rule. The bare name of a built-in rule stands for it; a rule without `trigger` that has
    the name of a built-in one takes from it what it does not set itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name; also of the prompt file `heartbeat_<name>.md.j2` unless there is a `prompt`."""
    trigger: Trigger
    """`interval`, `plateau`, `silence`, `stall`, `crashes`, `budget` or `convergence`."""
    scope: Literal["agent", "team"] = "agent"
    """Whose attempts and times are looked at: each agent's own, or those of all together."""
    every: int | None = Field(default=None, ge=1)
    """`interval`: every N attempts. `plateau`: N without a better score. `crashes`: N of them.
    `convergence`: the N newest attempts."""
    minutes: float | None = Field(default=None, gt=0)
    """`silence`: without a submission. `stall`: without a model or tool event. `crashes`: the
    window they fall into."""
    fraction: float | None = Field(default=None, gt=0, le=1)
    """`budget`: the share that is used up, of whichever budget is used most."""
    epsilon: float = Field(default=0.0, ge=0, lt=1)
    """`plateau`: gains up to this share of the score do not count."""
    threshold: float = Field(default=0.6, gt=0, le=1)
    """`convergence`: the share of near-copies among the N newest."""
    similarity: float = Field(default=0.8, gt=0, le=1)
    """`convergence`: from here on two changes are near-copies; 1 is equal."""
    when: str | None = None
    """Condition: a Jinja2 expression over `agent`, `team` and `rule`."""
    cooldown: Cooldown = Field(default_factory=Cooldown)
    """Quiet after a firing, in attempts, minutes or both."""
    to: str | None = None
    """Whom a team rule reaches: `all`, `best`, `worst`, `next` (in turn), `stalled` or an agent."""
    action: HeartbeatAction = Field(default_factory=HeartbeatAction)
    """What is done beside the message."""
    urgent: bool = False
    """Cut a running tool short for it."""
    relay: bool = False
    """The note the message asks for is passed on to the agents it names, or to all."""
    prompt: str | None = None
    """Text of the message; Jinja2 with `agent`, `team`, `rule`, `reason` and `key`."""

    @model_validator(mode="before")
    @classmethod
    def _from_built_in(cls, value: object) -> object:
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            return value
        given = cast(Mapping[str, Any], value)
        if "trigger" in given or given.get("name") not in BUILT_IN:
            return given
        return {**BUILT_IN[given["name"]], **given}

    @model_validator(mode="after")
    def _check(self) -> "HeartbeatRule":
        if self.name == USER_RULE:
            raise ValueError(f"another name than {USER_RULE!r}, which is the user's own")
        needed, allowed = _NEEDS[self.trigger]
        missing = {key for key in needed if getattr(self, key) is None}
        if missing:
            raise ValueError(f"the trigger {self.trigger!r} with {_listed(missing)}")
        foreign = (_changed(self) & OF_TRIGGERS) - needed - allowed
        if foreign:
            raise ValueError(f"the trigger {self.trigger!r} without {_listed(foreign)}")
        self._check_window()
        self._check_reach()
        return self

    def _check_window(self) -> None:
        if self.trigger == "convergence" and not 2 <= (self.every or 0) <= MAX_WINDOW:
            raise ValueError(f"'every' of a convergence rule from 2 to {MAX_WINDOW}")

    def _check_reach(self) -> None:
        if self.to is not None:
            if self.scope == "agent":
                raise ValueError("'to' only with 'scope: team': an agent's rule reaches that agent")
            if not _TO.fullmatch(self.to):
                raise ValueError("'to': all, best, worst, next, stalled or an agent (agent-3)")
        if self.action.do in ("spawn", "merge") and (self.scope == "agent" or self.to is not None):
            raise ValueError(f"'scope: team' and no 'to' with the action {self.action.do!r}")
        if self.relay and self.action.do != "prompt":
            raise ValueError("'relay' only with the action 'prompt'")

    @property
    def reach(self) -> str:
        """`to` resolved: what is done decides whom it reaches by default."""
        return self.to or {"fork": "best", "retire": "worst"}.get(self.action.do, "all")


def _changed(model: BaseModel) -> set[str]:
    """The fields that are not at their default: a saved model names those that are, too."""
    fields = type(model).model_fields
    return {
        name
        for name, field in fields.items()
        if getattr(model, name) != field.get_default(call_default_factory=True)
    }


def _listed(keys: "set[str] | frozenset[str]") -> str:
    return " and ".join(repr(key) for key in sorted(keys))


BUILT_IN: Final[Mapping[str, Mapping[str, Any]]] = {
    "reflect": {"trigger": "interval", "every": 5},
    "consolidate": {"trigger": "interval", "scope": "team", "every": 20, "to": "next"},
    "pivot": {
        "trigger": "plateau",
        "every": 8,
        "epsilon": 0.001,
        "when": "team.budget_used < 0.8",
        "action": "pivot",
    },
    "refocus": {"trigger": "stall", "minutes": 10, "urgent": True},
    "diversify": {
        "trigger": "convergence",
        "scope": "team",
        "every": 12,
        "when": "team.size > 1 and team.budget_used < 0.9",
    },
    "lint": {"trigger": "interval", "scope": "team", "every": 50, "to": "next"},
    "wrap_up": {"trigger": "budget", "fraction": 0.9},
    "dream": {
        "trigger": "plateau",
        "scope": "team",
        "every": 24,
        "epsilon": 0.001,
        "when": "team.size > 1 and team.since(rule.epsilon) >= 8 * team.size",
        "to": "best",
        "relay": True,
    },
}
"""The built-in rules by name, in the order in which they are asked."""


def default_rules() -> tuple[HeartbeatRule, ...]:
    """The built-in rules, for teams of 1 to 16 agents with 20 to 1,000 evaluations."""
    return tuple(HeartbeatRule.model_validate({"name": name}) for name in BUILT_IN)
