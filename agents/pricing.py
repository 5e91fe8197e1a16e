"""What a model call costs; unknown is never 0.

From the first of: the model's configuration (`price_input` …), the user's own table, the dated one
that ships with the package. The user's is the file that `HARNESS_PRICES` names, or `prices.yaml` in
the working directory, beside `harness.yaml`.
"""

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.agents.base import ModelConfig, Usage
from harness.errors import ConfigurationError

PRICES_VARIABLE = "HARNESS_PRICES"
PRICES_FILE = "prices.yaml"

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


_Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PriceTable(BaseModel):
    """The content of `prices.yaml`: USD per million tokens, `[input, cached input, output]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: str = ""
    """Day of the prices."""
    sources: tuple[str, ...] = ()
    """Where they come from."""
    models: Mapping[str, tuple[_Dollars, _Dollars | None, _Dollars]] = Field(default_factory=dict)
    """Prices by model; cached null: no discount."""


def price_table(environ: Mapping[str, str] | None = None) -> PriceTable:
    """The shipped table with the user's own on top.

    Raises:
        ConfigurationError: The user's table cannot be read.
    """
    named = (os.environ if environ is None else environ).get(PRICES_VARIABLE)
    path = Path(named or PRICES_FILE)
    if not named and not path.is_file():
        return _shipped()
    own = _own(path)
    return PriceTable(
        as_of=own.as_of or _shipped().as_of,
        sources=(*own.sources, *_shipped().sources),
        models={**_shipped().models, **own.models},
    )


@functools.cache
def _shipped() -> PriceTable:
    text = resources.files("harness.agents").joinpath(PRICES_FILE).read_text(encoding="utf-8")
    return PriceTable.model_validate(_loaded(text))


def _own(path: Path) -> PriceTable:
    try:
        return PriceTable.model_validate(_loaded(path.read_text(encoding="utf-8")))
    except OSError as error:
        problem = error.strerror or str(error)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        problem = str(error).splitlines()[0]
    raise ConfigurationError(
        f"the price table {path} cannot be used: {problem}",
        expected="models: {NAME: [input, cached input or null, output]} in USD per million tokens",
        action=f"correct the file, or set {PRICES_VARIABLE} to another one",
    )


def _loaded(text: str) -> dict[str, Any]:
    import yaml

    try:
        content: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("it is no mapping")  # noqa: TRY004 - told to the user like the others
    found = cast("dict[str, Any]", content)
    # YAML reads an unquoted day as a date.
    return {**found, "as_of": str(found.get("as_of", ""))}


def price_of(config: ModelConfig, environ: Mapping[str, str] | None = None) -> Price | None:
    """The table's price with what is configured on top; None when a half of it is unknown.

    Raises:
        ConfigurationError: The user's table cannot be read.
    """
    prompt, cached, completion = config.price_input, config.price_cached, config.price_output
    if prompt is None or completion is None:
        name = config.name or ""
        models = price_table(environ).models
        row = models.get(name) or models.get(_DATE.sub("", name))
        if row is None:
            return None
        if prompt is None:
            prompt = row[0]
            cached = row[1] if cached is None else cached
        completion = row[2] if completion is None else completion
    return Price(prompt, prompt if cached is None else cached, completion)


def with_cost(usage: Usage, price: Price | None) -> Usage:
    """`usage` with its cost; None when the price is unknown."""
    return replace(usage, cost_usd=None if price is None else price.of(usage))
