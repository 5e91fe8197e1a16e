"""Where a model's endpoint is and how to get in: from the configuration and the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.agents.config import ModelConfig
from harness.errors import ConfigurationError

URL_VARIABLE = "OPENAI_BASE_URL"
KEY_VARIABLE = ModelConfig.model_fields["key_variable"].default
OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is and how to get in. The key is not part of its text."""

    url: str
    key: str = field(repr=False)


def resolve_endpoint(config: ModelConfig, environ: Mapping[str, str] | None = None) -> Endpoint:
    """The configured endpoint; address and key from the environment (by default the process's).

    Raises:
        ConfigurationError: No model name, an address that is none, or no key where one is needed.
    """
    environ = os.environ if environ is None else environ
    if not config.name:
        raise ConfigurationError(
            "no model is named",
            expected="the name of a model that the endpoint knows",
            action="pass --model NAME, or set agent.model.name in harness.yaml",
        )
    url = (config.base_url or environ.get(URL_VARIABLE) or OPENAI_URL).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"the model endpoint {url!r} is not an address",
            expected="something like http://localhost:8000/v1",
            action=f"set {URL_VARIABLE}, or agent.model.base_url in harness.yaml",
        )
    variable = config.key_variable
    key = environ.get(variable, "").strip()
    # A variable of one's own is named because the endpoint needs a key; a local server needs none.
    if not key and (url == OPENAI_URL or variable != KEY_VARIABLE):
        raise ConfigurationError(
            f"no API key for {url}",
            expected=f"a key in {variable}",
            action=f"export {variable}=…, or set {URL_VARIABLE} to an endpoint of your own",
        )
    return Endpoint(url, key)
