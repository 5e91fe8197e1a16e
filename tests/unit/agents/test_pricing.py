"""Prices: the table, its overrides, and what is unknown."""

from pathlib import Path

import pytest

from harness.agents.base import ModelConfig, Usage
from harness.agents.pricing import Price, price_of, price_table, with_cost
from harness.errors import ConfigurationError

MILLION = Usage(prompt_tokens=1_000_000, completion_tokens=1_000_000)


def test_the_table_is_dated_and_names_its_sources() -> None:
    table = price_table()
    assert table.as_of.startswith("20")
    assert table.sources
    for prompt, cached, completion in table.models.values():
        assert 0 < prompt <= completion
        assert cached is None or cached <= prompt


def test_an_unknown_model_has_no_price_rather_than_none_to_pay() -> None:
    assert price_of(ModelConfig(name="my-own-model")) is None
    assert with_cost(MILLION, None).cost_usd is None
    assert price_of(ModelConfig(name="my-own-model", price_input=1.0)) is None


def test_a_name_matches_with_a_date_behind_it_and_not_by_its_beginning() -> None:
    dated = price_of(ModelConfig(name="gpt-4o-2024-11-20"))
    assert dated == price_of(ModelConfig(name="gpt-4o"))
    assert dated is not None
    assert price_of(ModelConfig(name="gpt-4o-audio")) is None


def test_configured_prices_win() -> None:
    price = price_of(ModelConfig(name="own", price_input=1.0, price_output=2.0))
    assert with_cost(MILLION, price).cost_usd == pytest.approx(3.0)
    listed = price_of(ModelConfig(name="gpt-4o"))
    half = price_of(ModelConfig(name="gpt-4o", price_output=20.0))
    assert listed is not None
    assert half is not None
    assert (half.prompt, half.completion) == (listed.prompt, 20.0)
    free = price_of(ModelConfig(name="local", price_input=0.0, price_output=0.0))
    assert with_cost(MILLION, free).cost_usd == 0


def test_a_table_of_the_user_goes_on_top(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("as_of: 2026-08-01\nmodels:\n  my-model: [1, null, 2]\n  gpt-4o: [9, 8, 10]\n")
    environ = {"HARNESS_PRICES": str(own)}
    mine = price_of(ModelConfig(name="my-model"), environ)
    assert mine == Price(1.0, 1.0, 2.0)
    assert price_of(ModelConfig(name="gpt-4o-2024-11-20"), environ) == Price(9.0, 8.0, 10.0)
    assert price_of(ModelConfig(name="gpt-4o-mini"), environ) == price_of(
        ModelConfig(name="gpt-4o-mini"), {}
    )
    assert price_of(ModelConfig(name="my-model", price_output=5.0), environ) == Price(1, 1, 5)
    assert price_of(ModelConfig(name="my-model"), {}) is None
    assert price_table(environ).as_of == "2026-08-01"


@pytest.mark.parametrize(
    "content",
    ["models: {m: [1, 2]}", "models: {m: [-1, null, 2]}", "[", "3", "prices: {}", "models: {m: x}"],
)
def test_a_table_that_cannot_be_used_is_told(content: str, tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(content)
    with pytest.raises(ConfigurationError, match=r"mine\.yaml"):
        price_of(ModelConfig(name="m"), {"HARNESS_PRICES": str(own)})
    with pytest.raises(ConfigurationError, match="No such file"):
        price_of(ModelConfig(name="m"), {"HARNESS_PRICES": str(tmp_path / "none.yaml")})


def test_what_is_configured_needs_no_table() -> None:
    config = ModelConfig(name="m", price_input=1.0, price_cached=0.1, price_output=2.0)
    assert price_of(config, {"HARNESS_PRICES": "/none.yaml"}) == Price(1.0, 0.1, 2.0)


def test_cached_tokens_cost_less() -> None:
    price = price_of(ModelConfig(name="gpt-4o"))
    assert price is not None
    usage = Usage(prompt_tokens=1_000_000, cached_tokens=400_000)
    assert price.of(usage) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25)
