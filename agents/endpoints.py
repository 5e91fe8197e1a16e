"""The model clients of one run, shared by its agents."""

from collections.abc import Mapping

from harness.agents.config import ModelConfig
from harness.agents.model import ModelClient, resolve_endpoint


class EndpointPool:
    """One client for each model, made when it is first asked for. Belongs to one event loop.

    Args:
        environ: Where addresses and keys come from; by default the process's environment.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ
        self._clients: dict[str, ModelClient] = {}

    def client(self, model: ModelConfig) -> ModelClient:
        """The client for a model.

        Raises:
            ConfigurationError: No model name, an address that is none, or no key.
        """
        key = model.model_dump_json()
        if key not in self._clients:
            endpoint = resolve_endpoint(model, self._environ)
            self._clients[key] = ModelClient(model, endpoint)
        return self._clients[key]

    async def close(self) -> None:
        """Close all connections; may be called twice."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.close()
