"""Heartbeat rules: pure functions from what is seen to what is to be said."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True, slots=True)
class AgentView:
    """What a rule sees of an agent; counted from the store, so it survives a resume.

    `evaluations` are the agent's finished attempts; `since_improvement` those since its last
    personal best (failures count); `last_fired` maps a rule's name to `evaluations` at its last
    firing.
    """

    agent: str
    evaluations: int
    since_improvement: int
    best_score: float | None
    last_score: float | None
    last_title: str
    last_fired: "dict[str, int]"


@dataclass(frozen=True, slots=True)
class TeamView:
    """What a rule sees of the team."""

    evaluations: int
    best_score: float | None
    best_attempt: str | None
    best_agent: str | None
    agents: Sequence[AgentView]


@dataclass(frozen=True, slots=True)
class Intervention:
    """A message for an agent's next turn, and why the rule fired."""

    rule: str
    agent: str
    reason: str
    text: str


class HeartbeatRule(BaseModel):
    """One rule of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name; also of the prompt file `agents/prompts/heartbeat_<name>.md.j2` unless `prompt`."""
    trigger: Literal["interval", "plateau"]
    """`interval`: every N evaluations of the agent. `plateau`: N without a personal best."""
    every: int = Field(ge=1)
    """N. A plateau rule fires again only after N more."""
    prompt: str | None = None
    """Text of the message; Jinja2 with `agent`, `team` and `rule`."""


Rule = Callable[[AgentView, TeamView], Sequence[Intervention]]
