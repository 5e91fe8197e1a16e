"""What can be configured of agents and their models."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator


class ModelConfig(BaseModel):
    """A model and its endpoint. A bare name stands for a model with this name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    """Model name as the endpoint knows it."""
    base_url: str | None = None
    """OpenAI-compatible endpoint; by default `OPENAI_BASE_URL`, then OpenAI's own."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; the key itself is never configured."""
    api: Literal["auto", "openai", "anthropic"] = "auto"
    """What the endpoint speaks, for the gateway of the `command` agent; `auto`: `anthropic` when
    the address is Anthropic's own, else `openai`. Other agents need `openai`."""
    protocol: Literal["auto", "tools", "text"] = "auto"
    """`tools`: tool calling; `text`: one fenced action a turn; `auto`: found out by asking once."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature; None leaves it to the endpoint. Left out where a model refuses it."""
    reasoning_effort: str | None = None
    """Of reasoning models: `low`, `medium`, `high` or what the endpoint takes."""
    extra_body: Mapping[str, Any] = Field(default_factory=dict)
    """Further fields of the request's body, sent as they are."""
    stream: bool = False
    """Ask for streamed answers; for gateways that cut long silent connections."""
    max_output_tokens: int = Field(default=8192, ge=16)
    """Tokens of one answer."""
    context_tokens: int = Field(default=128_000, ge=1024)
    """The model's context window."""
    timeout_s: float = Field(default=300.0, gt=0)
    """Seconds to wait for one answer."""
    retries: int = Field(default=6, ge=0)
    """Further tries after an answer that cannot be used, a time-out or 5xx; also after 429 and
    connection errors as long as the endpoint has never answered (later they are waited out)."""
    concurrency: int = Field(default=64, ge=1)
    """Calls to the endpoint at once, at most, by all agents; fewer while it answers 429 or 5xx."""
    price_input: float | None = Field(default=None, ge=0)
    """USD per million prompt tokens; overrides the price table."""
    price_cached: float | None = Field(default=None, ge=0)
    """USD per million cached prompt tokens; overrides the price table."""
    price_output: float | None = Field(default=None, ge=0)
    """USD per million completion tokens; overrides the price table."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class CompactionConfig(BaseModel):
    """How the `llm` agent keeps its conversation within the model's window."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    above: float = Field(default=0.6, gt=0, le=0.9)
    """Share of the context window above which older turns are folded into a summary."""
    to: float = Field(default=0.3, gt=0, le=0.8)
    """Share of the context window to come down to."""
    by_model: bool = True
    """Let the model write the summary; else it is put together from what the run knows."""


class AgentConfig(BaseModel):
    """Settings of every agent; a group of `agents` may override them by `options`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "auto"
    """`offline`, `llm`, `pipeline`, `command`, `auto` (llm when a model is named, command when a
    command is), or `package.module:Class`."""
    model: ModelConfig = Field(default_factory=ModelConfig)
    models: list[ModelConfig] = Field(default_factory=list[ModelConfig])
    """Several models: a bandit chooses one for each directive. What a model does not set is taken
    from `model`."""
    command: str | list[str] = Field(default_factory=list[str])
    """Of the `command` agent: argv of an external coding agent, or the name of a preset."""
    max_turns: int = Field(default=40, ge=1)
    """Model calls per directive."""
    command_timeout_s: float = Field(default=120.0, gt=0)
    """Wall-clock limit of one command of the agent, in seconds."""
    directive_timeout_s: float = Field(default=3600.0, gt=0)
    """Of the `command` agent: seconds after which its command is ended and the next directive
    begins."""
    compaction: CompactionConfig = Field(default_factory=CompactionConfig)
    prompts: str | None = None
    """Folder with prompt templates that stand in for the shipped ones of the same names."""
    warm_start: bool = False
    """Before the first draft, read the task, its knowledge files and the memory; write notes."""

    @field_serializer("models")
    def _only_what_was_said(self, models: list[ModelConfig]) -> list[dict[str, Any]]:
        return [_said(model) for model in models]

    @property
    def choices(self) -> tuple[ModelConfig, ...]:
        """The models to choose from: `models` on top of `model`, or `model` alone."""
        return tuple(_on_top(self.model, model) for model in self.models) or (self.model,)

    @property
    def resolved_kind(self) -> str:
        """`kind` with `auto` resolved."""
        if self.kind != "auto":
            return self.kind
        if self.command:
            return "command"
        return "llm" if self.choices[0].name else "offline"


class AgentGroup(BaseModel):
    """Agents of one kind within a mixed team."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(default=1, ge=0, le=1024)
    """Number of agents."""
    role: str = ""
    """Their posture, told to them and to the team."""
    kind: str | None = None
    """Overrides `agent.kind`."""
    model: ModelConfig | None = None
    """Overrides `agent.model` where it sets something."""
    models: list[ModelConfig] | None = None
    """Overrides `agent.models`."""
    command: str | list[str] | None = None
    """Overrides `agent.command`."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Overrides any other key of `agent`."""

    @field_serializer("model", "models")
    def _only_what_was_said(self, value: ModelConfig | list[ModelConfig] | None) -> Any:
        if isinstance(value, list):
            return [_said(model) for model in value]
        return None if value is None else _said(value)

    def config(self, base: AgentConfig) -> AgentConfig:
        """The group's settings: its own on top of `base`.

        Raises:
            pydantic.ValidationError: An option that `agent` does not have, or a wrong value.
        """
        values = _merged(base.model_dump(), self.options)
        if self.model is not None:
            values["model"] = _on_top(base.model, self.model)
            values["models"] = []
        for key in ("kind", "models", "command"):
            if getattr(self, key) is not None:
                values[key] = getattr(self, key)
        return AgentConfig.model_validate(values)


def _said(model: ModelConfig) -> dict[str, Any]:
    """Only what was set: a saved configuration must not turn defaults into overrides."""
    return model.model_dump(exclude_unset=True)


def _on_top(base: ModelConfig, model: ModelConfig) -> ModelConfig:
    return ModelConfig.model_validate(base.model_dump() | _said(model))


def _merged(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `other` in it, mapping by mapping."""
    merged = dict(base)
    for key, value in other.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(cast(Any, below), cast(Any, value)) if both else value
    return merged
