"""What a model call costs, from the dated price table or the configuration; unknown is never 0."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources

from pydantic import BaseModel, ConfigDict

from harness.agents.base import ModelConfig, Usage

_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens; cached prompt tokens cost `cached` instead of `prompt`."""

    prompt: float
    cached: float
    completion: float

    def of(self, usage: Usage) -> float:
        """Cost of `usage` in USD."""
        fresh = max(0, usage.prompt_tokens - usage.cached_tokens)
        return (
            fresh * self.prompt
            + usage.cached_tokens * self.cached
            + usage.completion_tokens * self.completion
        ) / _MILLION


class PriceTable(BaseModel):
    """The content of `prices.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: str
    sources: list[str]
    models: Mapping[str, tuple[float, float | None, float]]


@functools.cache
def price_table() -> PriceTable:
    """The table that ships with the package."""
    import yaml

    text = resources.files("harness.agents").joinpath("prices.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return PriceTable.model_validate({**content, "as_of": str(content["as_of"])})


def price_of(config: ModelConfig) -> Price | None:
    """The table's price with what is configured on top; None when a half of it is unknown."""
    listed = None
    name = config.name or ""
    models = price_table().models
    if row := models.get(name) or models.get(_DATE.sub("", name)):
        prompt, cached, completion = row
        listed = Price(prompt, prompt if cached is None else cached, completion)
    if config.price_input is not None and config.price_output is not None:
        return Price(config.price_input, config.price_input, config.price_output)
    if listed is None:
        return None
    if config.price_input is not None:
        listed = replace(listed, prompt=config.price_input, cached=config.price_input)
    if config.price_output is not None:
        listed = replace(listed, completion=config.price_output)
    return listed


def with_cost(usage: Usage, price: Price | None) -> Usage:
    """`usage` with its cost; None when the price is unknown."""
    return replace(usage, cost_usd=None if price is None else price.of(usage))
