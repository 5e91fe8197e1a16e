"""Prices: the table, its overrides, and what is unknown."""

import pytest

from harness.agents.base import ModelConfig, Usage
from harness.agents.pricing import price_of, price_table, with_cost

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


def test_cached_tokens_cost_less() -> None:
    price = price_of(ModelConfig(name="gpt-4o"))
    assert price is not None
    usage = Usage(prompt_tokens=1_000_000, cached_tokens=400_000)
    assert price.of(usage) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25)
