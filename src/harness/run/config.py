"""The configuration of a run, and where its values come from.

Flags > environment (`HARNESS_BUDGET__USD=20`) > `harness.yaml` > defaults. The parts define their
own models; this composes them. The resolved configuration is saved in the run; secrets (API keys)
are never part of it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from harness.agents.config import AgentConfig, AgentGroup
from harness.agents.heartbeats.base import HeartbeatRule
from harness.errors import ConfigurationError, StoreError
from harness.evaluators.config import EvaluatorConfig
from harness.memory.base import MemoryConfig
from harness.sandbox.config import SandboxConfig
from harness.search.config import SearchConfig
from harness.tasks.strict_yaml import key_name, read_model

CONFIG_FILE = "harness.yaml"
ENVIRONMENT_PREFIX = "HARNESS_"
RESERVED_ENVIRONMENT = frozenset(
    {
        "HARNESS_MEMORY",
        "HARNESS_CACHE",
        "HARNESS_PRICES",
        "HARNESS_CI_STATE",
        "HARNESS_EVALUATOR_TOKEN",
        "HARNESS_REQUIRE_BUBBLEWRAP",
        "HARNESS_REQUIRE_DOCKER",
        "HARNESS_REQUIRE_RAY",
    }
)
"""Variables with a meaning of their own, which are no keys."""


class BudgetConfig(BaseModel):
    """The first limit that is reached ends the run; all None: the task's own budget."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    evaluations: int | None = Field(default=None, ge=1)
    """Evaluations, the seed's included; duplicates and failures of the evaluator do not count."""
    hours: float | None = Field(default=None, gt=0)
    """Wall time in hours, all sessions of the run together."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens of all model calls, prompts included."""
    usd: float | None = Field(default=None, gt=0)
    """Money for model calls in US dollars."""

    @property
    def unlimited(self) -> bool:
        return self == BudgetConfig()


class TeamConfig(BaseModel):
    """How the team is kept up."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    headcount: int | None = Field(default=None, ge=1, le=1024)
    """Agents at once, at most, however many heartbeats spawn or fork; None: as many as the run
    was started with, so that a new one needs the place of a retired one."""
    crashes: int = Field(default=3, ge=1)
    """So many crashes of an agent within the window pause it."""
    crash_window_s: float = Field(default=600.0, gt=0)
    """The window, in seconds."""
    crash_pause_s: float = Field(default=300.0, ge=0)
    """How long a crashing agent is paused, in seconds; doubled each time it happens again."""


def _number_or_groups(value: object) -> str:
    # In brackets: no part of a key's name (`key_name`).
    return "<groups>" if isinstance(value, list) else "<number>"


Agents = Annotated[
    Annotated[int, Field(ge=1, le=1024), Tag("<number>")]
    | Annotated[list[AgentGroup], Tag("<groups>")],
    Discriminator(_number_or_groups),
]


class RunConfig(BaseModel):
    """Everything about a run that is not the task."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    agents: Agents = 4
    """Number of agents, or groups of them: `[{count: 2, model: a}, {count: 1, kind: offline}]`."""
    seed: int = 0
    """Seed of all random choices."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    target: float | None = None
    """The run ends when this score is reached."""
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    agent: AgentConfig = Field(default_factory=AgentConfig)
    evaluators: EvaluatorConfig = Field(default_factory=EvaluatorConfig)
    team: TeamConfig = Field(default_factory=TeamConfig)
    heartbeats: list[HeartbeatRule] | None = None
    """Rules; None: the built-in ones for agents with a model."""
    memory: MemoryConfig = Field(default_factory=MemoryConfig)
    sandbox: SandboxConfig = Field(default_factory=SandboxConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)

    @property
    def slots(self) -> int:
        return self.evaluators.at_once

    @property
    def groups(self) -> Sequence[AgentGroup]:
        """The team as groups; a number of agents is one group."""
        return (AgentGroup(count=self.agents),) if isinstance(self.agents, int) else self.agents

    @property
    def agent_count(self) -> int:
        """Number of agents of all groups together."""
        return sum(group.count for group in self.groups)

    @property
    def headcount(self) -> int:
        """Agents at once, at most."""
        return self.team.headcount or self.agent_count

    @property
    def agent_configs(self) -> tuple[AgentConfig, ...]:
        """The settings of each group's agents."""
        return tuple(group.config(self.agent) for group in self.groups)

    @property
    def agent_kind(self) -> str:
        """The kinds of agents in the team, `auto` resolved: `llm`, `llm, offline`."""
        return ", ".join(dict.fromkeys(config.resolved_kind for config in self.agent_configs))

    @model_validator(mode="after")
    def _groups_are_valid(self) -> "RunConfig":
        for number, group in enumerate(self.groups):
            try:
                group.config(self.agent)
            except ValidationError as error:
                problem = error.errors(include_url=False, include_context=False)[0]
                key = key_name(problem["loc"])
                raise ValueError(
                    f"group {number + 1} of agents: {key!r}: {problem['msg']}"
                ) from error
        if self.agent_count < 1:
            raise ValueError("at least one agent")
        return self


def load_config(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> RunConfig:
    """Merge the sources. `flags` maps dotted keys (`budget.usd`) to values; None means not given.

    Raises:
        ConfigurationError: Names the source, the key and the nearest valid key.
    """
    merged: dict[str, Any] = {}
    path = file or Path(CONFIG_FILE)
    if file is not None or path.is_file():
        saved = read_model(path, RunConfig, ConfigurationError)
        merge(merged, saved.model_dump(exclude_unset=True))
    from_environment = _environment(os.environ if environment is None else environment)
    if from_environment:
        merge(merged, from_environment)
        validate(merged, "the environment")
    for key, value in flags.items():
        if value is not None:
            merge(merged, nested(key.split("."), value))
    return validate(merged, "the flags")


def save_config(config: RunConfig, path: Path) -> None:
    """Write the resolved configuration as JSON; a kill leaves the old one or the new one."""
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(config.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def read_saved(path: Path) -> RunConfig:
    """The configuration a run was launched with.

    Raises:
        StoreError: Missing or damaged.
    """
    try:
        return validate(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def validate(values: Mapping[str, Any], source: str) -> RunConfig:
    """A configuration from plain values; `source` names where they come from.

    Raises:
        ConfigurationError: Names the source, the key and what was expected.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        key = key_name(problem["loc"])
        if not key:  # of the configuration as a whole
            raise ConfigurationError(
                f"{source}: {problem['msg'].removeprefix('Value error, ')}",
                expected="settings that fit together",
                action="see docs/configuration.md for all keys",
            ) from None
        if problem["type"] == "extra_forbidden":
            raise ConfigurationError(
                f"{source}: unknown key {key!r}",
                expected=f"one of {', '.join(RunConfig.model_fields)}, or a key within",
                action="see docs/configuration.md for all keys",
            ) from None
        raise ConfigurationError(
            f"{source}: {key!r} is {problem['input']!r}",
            expected=problem["msg"].removeprefix("Input should be ").removeprefix("Value error, "),
            action=f"correct {key!r}",
        ) from None


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, value in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in RESERVED_ENVIRONMENT:
            keys = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            try:
                merge(merged, nested(keys, yaml.safe_load(value)))
            except yaml.YAMLError as error:
                raise ConfigurationError(
                    f"the environment: {name} is {value!r}",
                    expected="a YAML value: a number, a word, a list",
                    action=f"correct or unset {name}",
                ) from error
    return merged


def nested(keys: list[str], value: Any) -> dict[str, Any]:
    """`value` below `keys`."""
    for key in reversed(keys):
        value = {key: value}
    return cast(dict[str, Any], value)


def merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Put `other` into `into`, mapping by mapping."""
    for key, value in other.items():
        existing = into.get(key)
        if isinstance(existing, dict) and isinstance(value, Mapping):
            merge(cast(dict[str, Any], existing), cast(Mapping[str, Any], value))
        else:
            into[key] = value
