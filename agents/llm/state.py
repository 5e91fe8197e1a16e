"""What is checkpointed of an agent, step by step."""

from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from langgraph.channels.delta import DeltaChannel

from harness.agents.conversation import Message, Operation, reduce
from harness.agents.tools.bench import Waiting

SNAPSHOT_UPDATES = 1000
"""Steps after which the conversation is written as a whole: a resume reads back no further."""

Shell = dict[str, Any]
"""Working directory and exported variables of the agent's commands: see `tools.shell`."""


def replaced(shell: Shell, writes: Sequence[Shell]) -> Shell:
    """The last write. Written only when it changes: other state is part of every checkpoint."""
    return writes[-1] if writes else shell


class Gauge(TypedDict):
    """What is known of the model in force: how many characters a token has, and what was refused.

    `ceiling` is the size in characters of the smallest request that was refused as too long, 0
    when none was.
    """

    model: str
    characters_per_token: float
    ceiling: int


class State(TypedDict):
    """What is checkpointed. `directive` is the number of the open one, 0 for none."""

    messages: Annotated[
        list[Message], DeltaChannel(reduce, list, snapshot_frequency=SNAPSHOT_UPDATES)
    ]
    shell: Annotated[Shell, DeltaChannel(replaced, dict, snapshot_frequency=SNAPSHOT_UPDATES)]
    directive: int
    phase: str
    """`research` in the warm start, else `work`."""
    turns: int
    reminders: int
    submitted: bool
    closed: bool
    over: bool
    calls: int
    """Tool calls of the thread so far; part of each call's key."""
    squeeze: int
    """Times in a row that the endpoint refused the conversation as too long."""
    restart: bool
    """Whether all turns are to be folded before the next model call."""
    gauge: Gauge
    waiting: list[Waiting]
    jobs: list[str]
    """Background jobs that were running."""


class Update(TypedDict, total=False):
    """What a step changes."""

    messages: list[Operation]
    shell: Shell
    directive: int
    phase: str
    turns: int
    reminders: int
    submitted: bool
    closed: bool
    over: bool
    calls: int
    squeeze: int
    restart: bool
    gauge: Gauge
    waiting: list[Waiting]
    jobs: list[str]
