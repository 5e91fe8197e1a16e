"""Settings of the search policies."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Descriptor = Annotated[str, Field(pattern=r"^(generation|operator|references|duration|metric:.+)$")]


class NoveltyConfig(BaseModel):
    """What is refused, before it costs an evaluation, as nearly the same as an earlier attempt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    normalised: bool = True
    """Refuse what differs from an attempt only in comments, docstrings or formatting of Python."""
    similarity: float = Field(default=1.0, gt=0, le=1)
    """Refuse what the memory's embedder takes for this similar to an attempt (cosine); 1: never."""
    retries: int = Field(default=3, ge=0)
    """Refusals in a directive, after which a submission is evaluated whatever it resembles."""


class SearchConfig(BaseModel):
    """Which policy chooses what to try next, and how it does so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: str = "progressive"
    """`progressive`, `greedy`, `islands`, `best_of_n`, `random`, or `package.module:Class`."""
    branches: int = Field(default=30, ge=1, le=1000)
    """Independent drafts to start from; a budget below 10 evaluations each gets fewer."""
    front: int = Field(default=48, ge=1, le=1024)
    """Distinct scores that stay open to selection."""
    breadth: float = Field(default=3.0, gt=0)
    """Selection temperature at the start, in ranks; a small budget gets less."""
    focus: float = Field(default=0.4, gt=0)
    """Selection temperature at the end, in ranks: at 0.4 the best gets about 0.92."""
    focus_from: float = Field(default=0.1, ge=0, le=1)
    """Progress at which the temperature starts to fall."""
    focus_until: float = Field(default=0.7, ge=0, le=1)
    """Progress from which the temperature stays at `focus`."""
    debug_depth: int = Field(default=2, ge=0)
    """Repairs in a row before a broken line is given up."""
    references: int = Field(default=3, ge=1, le=16)
    """Attempts shown to an aggregation."""
    patience: float = Field(default=0.08, gt=0, le=1)
    """Share of the expected evaluations without a better score that counts as stagnation."""
    tune_from: float = Field(default=0.6, ge=0, le=1)
    """Progress from which tuning is considered."""
    islands: int = Field(default=4, ge=1, le=64)
    """`islands`: populations."""
    migration: int = Field(default=20, ge=1)
    """`islands`: attempts of an island after which its best settles on the next one too."""
    descriptors: list[Descriptor] = Field(default=["generation", "operator"], min_length=1)
    """`islands`: what makes attempts differ in kind: `generation`, `operator`, `references`,
    `duration`, or `metric:NAME` for a metric of the judge's."""
    bins: int = Field(default=6, ge=1, le=100)
    """`islands`: bins of each descriptor."""
    novelty: NoveltyConfig = Field(default_factory=NoveltyConfig)
    objectives: Literal["score", "weighted", "hypervolume"] = "hypervolume"
    """Of a task with several objectives: bases by their share of the front's hypervolume, the
    weighted sum of gains over the seed as the score, or the score alone."""
