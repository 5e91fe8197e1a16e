"""Lists in `harness.yaml`, which is read strictly, where the configuration has tuples."""

from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.run.config import RunConfig
from harness.tasks.strict_yaml import read_model


def read(tmp_path: Path, text: str) -> RunConfig:
    path = tmp_path / "harness.yaml"
    path.write_text(text, encoding="utf-8")
    return read_model(path, RunConfig, ConfigurationError)


def test_commands_models_and_groups_are_lists(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "agent: {command: [my-agent, '{prompt}'], models: [a, b]}\n"
        "agents: [{count: 1}, {count: 2, command: claude, models: [c]}]\n",
    )
    one, other = config.agent_configs[0], config.agent_configs[-1]
    assert one.command == ["my-agent", "{prompt}"]
    assert [model.name for model in one.choices] == ["a", "b"]
    assert (other.command, [model.name for model in other.choices]) == ("claude", ["c"])


def test_what_is_in_them_is_still_read_strictly(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="command"):
        read(tmp_path, "agent: {command: [my-agent, 1]}\n")
