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


Action = Literal["prompt", "pivot", "restart", "retune", "pause", "retire", "spawn", "fork"]
"""What an intervention does beside its text:

- `prompt`: nothing more.
- `pivot`: the open directive ends at once and the next one expands another branch.
- `restart`: the agent forgets its conversation but for the summary.
- `retune`: the agent goes on with another model or temperature.
- `pause`: the agent stands still for a while.
- `retire`: the agent ends; its attempts stay.
- `spawn`: a new agent joins the team.
- `fork`: a new agent joins that starts with a copy of this one's conversation.

Agents themselves obey `pivot` and `restart`; the run sees to the others.
"""


@dataclass(frozen=True, slots=True)
class Intervention:
    """A message for an agent's next turn, and why the rule fired."""

    rule: str
    """The rule's name; `user` for what a person said (`harness tell`)."""
    agent: str
    reason: str
    text: str
    action: Action = "prompt"
    urgent: bool = False
    """Whether a running tool is cut short for it."""


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
