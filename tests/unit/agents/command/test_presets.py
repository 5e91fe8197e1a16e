"""How coding agents' command lines are put together."""

import json
import tomllib

import pytest

from harness.agents.command.presets import (
    GIVEN,
    PRESETS,
    filled,
    preset_of,
    takes_prompt,
)
from harness.errors import ConfigurationError

VALUES = {
    "prompt": 'do {token} and "that"',
    "prompt_file": "/tmp/h/prompt.md",
    "mcp_config": "/tmp/h/mcp.json",
    "mcp_url": "http://127.0.0.1:1/mcp",
    "mcp_command": "/tmp/h/bin/harness-mcp",
    "base_url": "http://127.0.0.1:1/v1",
    "url": "http://127.0.0.1:1",
    "token": "secret",
    "session": "s",
    "model": 'm"x',
    "folder": "/tmp/h",
    "workdir": "/work",
}


def test_only_placeholders_are_filled_in_and_only_once() -> None:
    assert filled("{prompt} {a} {'b': {model}}", VALUES) == (
        'do {token} and "that" {a} {\'b\': m"x}'
    )


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("resumed", [False, True])
def test_presets_leave_no_placeholder_and_no_key(name: str, resumed: bool) -> None:
    preset = preset_of(name, "m")
    words = [filled(word, VALUES | {"prompt": "P"}) for word in preset.argv(resumed=resumed)]
    values = [filled(value, VALUES, quoted=True) for value in preset.env.values()]
    assert words[0] == name
    assert not any("{" in word for word in words)
    assert not any("{token}" in value or "{model}" in value for value in values)
    assert preset.argv(resumed=True) != preset.argv(resumed=False)


def test_the_settings_of_codex_are_toml() -> None:
    words = [filled(word, VALUES) for word in PRESETS["codex"].first]
    settings = [words[at + 1] for at, word in enumerate(words) if word == "-c"]
    document = tomllib.loads("\n".join(settings))
    provider = document["model_providers"]["harness"]
    assert (provider["base_url"], provider["env_key"]) == (VALUES["base_url"], "HARNESS_TOKEN")
    assert document["mcp_servers"]["harness"]["command"] == VALUES["mcp_command"]
    assert "HARNESS_TOKEN" in GIVEN


def test_the_settings_of_opencode_are_json_whatever_the_model_is_called() -> None:
    text = PRESETS["opencode"].env["OPENCODE_CONFIG_CONTENT"]
    document = json.loads(filled(text, VALUES, quoted=True))
    assert document["provider"]["harness"]["options"]["apiKey"] == "secret"
    assert list(document["provider"]["harness"]["models"]) == ['m"x']


def test_the_prompt_is_standard_input_unless_it_is_among_the_words() -> None:
    assert takes_prompt(PRESETS["opencode"].first)
    assert not takes_prompt(PRESETS["claude"].first)
    assert takes_prompt(["x", "--file={prompt_file}"])


@pytest.mark.parametrize(
    ("command", "model", "says"),
    [
        ((), None, "no command"),
        ("", None, "no command"),
        ("claud", "m", "no preset 'claud'"),
        ("my-agent --now", "m", "one word"),
        ("claude", None, "needs a model"),
    ],
)
def test_commands_that_cannot_be_are_refused(
    command: str | tuple[str, ...], model: str | None, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        preset_of(command, model)


def test_any_words_are_a_command() -> None:
    assert preset_of(("my-agent", "{prompt}"), None).first == ("my-agent", "{prompt}")
