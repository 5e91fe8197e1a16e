"""How coding agents' command lines are called: presets, and any command with placeholders."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import ConfigurationError

_PLACEHOLDER = re.compile(
    r"\{(prompt|prompt_file|mcp_config|mcp_url|mcp_command|base_url|url|token|session|model"
    r"|folder|workdir)\}"
)
_LONG_S = 86_400


@dataclass(frozen=True, slots=True)
class Preset:
    """A command line. Placeholders stand in all words and values.

    The prompt is its standard input unless `{prompt}` or `{prompt_file}` is among its words.
    """

    first: tuple[str, ...]
    """For a new conversation."""
    again: tuple[str, ...] = ()
    """For one that goes on; empty: as `first`."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    needs_model: bool = False

    def argv(self, *, resumed: bool) -> tuple[str, ...]:
        return self.again if resumed and self.again else self.first


_CLAUDE = (
    "claude", "--print", "--output-format", "stream-json", "--verbose", "--model", "{model}",
    "--mcp-config", "{mcp_config}", "--strict-mcp-config", "--dangerously-skip-permissions",
)  # fmt: skip

_CODEX_SETTINGS: Mapping[str, object] = {
    "model_provider": "harness",
    "model_providers.harness.name": "harness",
    "model_providers.harness.base_url": "{base_url}",
    "model_providers.harness.env_key": "HARNESS_TOKEN",
    "model_providers.harness.wire_api": "responses",
    "mcp_servers.harness.command": "{mcp_command}",
    "mcp_servers.harness.tool_timeout_sec": _LONG_S,
    "check_for_update_on_startup": False,
}
# JSON strings, numbers and booleans are TOML as well.
_CODEX_WORDS = [f"{key}={json.dumps(value)}" for key, value in _CODEX_SETTINGS.items()]
_CODEX = (
    "codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
    "--model", "{model}", *(word for setting in _CODEX_WORDS for word in ("-c", setting)),
)  # fmt: skip

_OPENCODE = ("opencode", "run", "--model", "harness/{model}")
_OPENCODE_CONFIG = {
    "provider": {
        "harness": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "harness",
            "options": {"baseURL": "{base_url}", "apiKey": "{token}"},
            "models": {"{model}": {"name": "{model}"}},
        }
    },
    "model": "harness/{model}",
    "small_model": "harness/{model}",
    "mcp": {"harness": {"type": "local", "command": ["{mcp_command}"], "enabled": True}},
    "permission": {"edit": "allow", "bash": "allow", "webfetch": "deny"},
    "autoupdate": False,
    "share": "disabled",
}

PRESETS: Mapping[str, Preset] = {
    "claude": Preset(
        first=_CLAUDE,
        again=(*_CLAUDE, "--continue"),
        env={
            "ANTHROPIC_MODEL": "{model}",
            "ANTHROPIC_SMALL_FAST_MODEL": "{model}",
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": "{model}",
            "ANTHROPIC_DEFAULT_SONNET_MODEL": "{model}",
            "ANTHROPIC_DEFAULT_OPUS_MODEL": "{model}",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "MCP_TOOL_TIMEOUT": str(_LONG_S * 1000),
        },
        needs_model=True,
    ),
    "codex": Preset(
        first=(*_CODEX, "-"),
        again=(*_CODEX, "resume", "--last", "-"),
        needs_model=True,
    ),
    "opencode": Preset(
        first=(*_OPENCODE, "{prompt}"),
        again=(*_OPENCODE, "--continue", "{prompt}"),
        env={
            "OPENCODE_CONFIG_CONTENT": json.dumps(_OPENCODE_CONFIG),
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
        },
        needs_model=True,
    ),
}

GIVEN: Mapping[str, str] = {
    "HARNESS_URL": "{url}",
    "HARNESS_TOKEN": "{token}",
    "HARNESS_SESSION": "{session}",
    "HARNESS_MODEL": "{model}",
    "HARNESS_PROMPT_FILE": "{prompt_file}",
    "HARNESS_MCP_CONFIG": "{mcp_config}",
    "HARNESS_MCP_URL": "{mcp_url}",
    "OPENAI_BASE_URL": "{base_url}",
    "OPENAI_API_KEY": "{token}",
    "ANTHROPIC_BASE_URL": "{url}",
    "ANTHROPIC_AUTH_TOKEN": "{token}",
}
"""The environment of every command, presets or not; `HARNESS_RESUMED` is 1 or empty."""


def preset_of(command: str | Sequence[str], model: str | None) -> Preset:
    """The preset that is named, or one of the given words.

    Raises:
        ConfigurationError: No command, an unknown preset, or one that needs a model and has none.
    """
    names = ", ".join(PRESETS)
    words = [command] if isinstance(command, str) else list(command)
    if not words or not words[0].strip():
        raise ConfigurationError(
            "no command is configured",
            expected=f"a preset ({names}) or the words of a command",
            action="set agent.command in harness.yaml",
        )
    if len(words) > 1 or " " in words[0] or "/" in words[0]:
        if len(words) == 1:
            raise ConfigurationError(
                f"agent.command is one word: {words[0]!r}",
                expected=f"a preset ({names}) or a list of words",
                action='write it as a list: command: ["my-agent", "--flag", "{prompt}"]',
            )
        return Preset(first=tuple(words))
    preset = PRESETS.get(words[0])
    if preset is None:
        raise ConfigurationError(
            f"there is no preset {words[0]!r} of the command agent",
            expected=f"one of {names}, or a list of two or more words",
            action="correct agent.command in harness.yaml",
        )
    if preset.needs_model and not model:
        raise ConfigurationError(
            f"the command agent {words[0]!r} needs a model",
            expected="the name of a model that the endpoint knows",
            action="pass --model NAME, or set agent.model.name in harness.yaml",
        )
    return preset


def filled(text: str, values: Mapping[str, str], *, quoted: bool = False) -> str:
    """`text` with the placeholders' values; `quoted` for JSON documents. Other braces stay."""

    def value(found: re.Match[str]) -> str:
        given = values[found[1]]
        return json.dumps(given)[1:-1] if quoted else given

    return _PLACEHOLDER.sub(value, text)


def takes_prompt(argv: Sequence[str]) -> bool:
    """Whether the prompt is among the words, or in a file that is."""
    return any("{prompt}" in word or "{prompt_file}" in word for word in argv)
