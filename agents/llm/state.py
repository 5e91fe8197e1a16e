"""What is checkpointed of an agent, step by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypedDict

from langgraph.channels.delta import DeltaChannel

from harness.agents.conversation import Message, Operation, reduce
from harness.agents.tools.bench import Waiting

SNAPSHOT_UPDATES = 1000
"""Steps after which the conversation is written as a whole: a resume reads back no further."""

Shell = dict[str, Any]
"""Working directory and exported variables of the agent's commands: see `tools.shell`."""


def replaced(shell: Shell, writes: Sequence[Shell]) -> Shell:
    """The last write."""
    return writes[-1] if writes else shell


class Gauge(TypedDict):
    """What is known of the model in force: how many characters a token has, and what was refused.

    `ceiling` is the size in characters of the smallest request that was refused as too long, 0
    when none was.
    """

    model: str
    characters_per_token: float
    ceiling: int


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything small. One channel, because each costs room in every checkpoint."""

    directive: int = 0
    """Number of the open one, 0 for none."""
    phase: Literal["work", "research"] = "work"
    """`research` in the warm start."""
    turns: int = 0
    reminders: int = 0
    submitted: bool = False
    closed: bool = False
    over: bool = False
    squeeze: int = 0
    """Times in a row that the endpoint refused the conversation as too long."""
    restart: bool = False
    """Whether all turns are to be folded before the next model call."""
    gauge: Gauge | None = None
    waiting: Sequence[Waiting] = ()
    """Submissions whose verdict the agent has not been told."""
    jobs: Sequence[str] = ()
    """Background jobs that were running."""

    def dump(self) -> dict[str, Any]:
        """As plain JSON, without what is as it is at first."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            each.name: values[each.name]
            for each in fields(self)
            if values[each.name] != each.default
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any] | None) -> "Desk":
        """From what `dump` gave; keys of a later version are passed over."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in (dumped or {}).items() if name in known})


class State(TypedDict):
    """The channels. The first two are stored as what changes, `desk` anew with every step."""

    messages: Annotated[
        list[Message], DeltaChannel(reduce, list, snapshot_frequency=SNAPSHOT_UPDATES)
    ]
    shell: Annotated[Shell, DeltaChannel(replaced, dict, snapshot_frequency=1)]
    calls: int
    """Tool calls of the thread so far; part of each call's key."""
    desk: dict[str, Any]
    """A dumped `Desk`."""


class Update(TypedDict, total=False):
    """What a step changes."""

    messages: list[Operation]
    shell: Shell
    calls: int
    desk: dict[str, Any]
