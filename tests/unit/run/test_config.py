"""Where settings come from, and what is said of wrong ones."""

from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.run.config import RunConfig, load_config, read_saved, save_config


def test_flags_win_over_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("agents: 2\nseed: 2\nbudget: {hours: 2, usd: 2}\n", encoding="utf-8")
    environment = {"HARNESS_SEED": "3", "HARNESS_BUDGET__USD": "3", "OTHER": "1"}
    config = load_config({"budget.usd": 4.0, "seed": None}, file=file, environment=environment)
    assert (config.agents, config.seed) == (2, 3)
    assert (config.budget.hours, config.budget.usd) == (2, 4)
    assert config.memory == RunConfig().memory


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HARNESS_AGNETS": "3"}, "'agnets'"),
        ({"HARNESS_AGENTS": "many"}, "'agents'"),
        ({"HARNESS_BUDGET__USD": "-1"}, "'budget.usd'"),
    ],
)
def test_wrong_variables_are_named(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_config({}, environment=environment)
    assert said in raised.value.wrong
    assert "the environment" in raised.value.wrong


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_config({}, file=tmp_path / "no.yaml", environment={})
    assert "no.yaml" in raised.value.wrong


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    config = load_config({"agents": 7, "agent.model.name": "m"}, environment={})
    save_config(config, tmp_path / "config.json")
    assert read_saved(tmp_path / "config.json") == config
    assert config.agent_kind == "llm"
