"""The model endpoints of one run, shared by all who call them."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.agents.addresses import Endpoint, resolve_endpoint
from harness.agents.config import AgentConfig, ModelConfig
from harness.agents.gate import FIRST_PAUSE_S, Gate, Outage
from harness.clock import Clock

if TYPE_CHECKING:  # loads the HTTP client, which a run without a model does not need
    from harness.agents.line import Line, Traits
    from harness.agents.model import ModelClient

__all__ = ["EndpointPool", "Load", "NeedsModels", "Outage"]


class Load(NamedTuple):
    """How busy an endpoint is."""

    url: str
    in_flight: int
    waiting: int
    """Calls that wait for their turn, for a rate limit, or for the end of an outage."""
    limit: int
    """Calls at once at present."""


class EndpointPool:
    """One line for each endpoint, one client for each model. Belongs to one event loop.

    Args:
        environ: Where addresses and keys come from; by default the process's environment.
        clock: For dates.
        on_change: Told when callers begin to wait for an endpoint, and (True) when that is over.
        on_learned: Told what was found out about a model: address, model, plain JSON, and why.
        known: What `on_learned` told earlier sessions, by address and model: not found out again.
        answered: Whether earlier sessions had answers: what does not answer now is waited for.
        first_wait_s: Seconds before the first retry of a call, and the first probe of an outage.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        clock: Clock | None = None,
        on_change: Callable[[Outage, bool], None] | None = None,
        on_learned: Callable[[str, str, Mapping[str, Any], str], None] | None = None,
        known: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        answered: bool = False,
        first_wait_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._clock = clock
        self._on_change = on_change
        self._on_learned = on_learned
        self._known = dict(known or {})
        self._answered = answered
        self._first_wait_s = first_wait_s
        self._lines: dict[str, Line] = {}
        self._clients: dict[str, ModelClient] = {}

    def client(self, model: ModelConfig) -> "ModelClient":
        """The client for a model.

        Raises:
            ConfigurationError: No model name, an address that is none, or no key.
        """
        from harness.agents.model import ModelClient

        key = model.model_dump_json()
        if key not in self._clients:
            endpoint = resolve_endpoint(model, self._environ)
            line = self._line(endpoint, model)
            self._clients[key] = ModelClient(
                model, endpoint, line=line, clock=self._clock, first_wait_s=self._first_wait_s
            )
        return self._clients[key]

    def outages(self) -> list[Outage]:
        """The endpoints that callers wait for: address, since when (epoch seconds), and why."""
        return [line.gate.outage for line in self._lines.values() if line.gate.outage is not None]

    def outage(self, model: ModelConfig) -> Outage | None:
        """The outage that calls of `model` wait for the end of, if there is one."""
        return self._lines[self.client(model).url].gate.outage

    def answered(self, model: ModelConfig) -> bool:
        """Whether the model's endpoint ever gave an answer: else its address is what is wrong."""
        return self._lines[self.client(model).url].gate.answered

    def gate(self, model: ModelConfig) -> Gate:
        """Where callers that bring a client of their own wait for their turn.

        Raises:
            ConfigurationError: No model name, or an address that is none.
        """
        return self._line(resolve_endpoint(model, self._environ), model).gate

    def load(self) -> list[Load]:
        """How busy each endpoint is."""
        gates = [line.gate for line in self._lines.values()]
        return [Load(gate.url, gate.in_flight, gate.waiting, gate.limit) for gate in gates]

    async def close(self) -> None:
        """Close all connections; may be called twice."""
        lines, self._lines, self._clients = list(self._lines.values()), {}, {}
        for line in lines:
            await line.close()

    def _line(self, endpoint: Endpoint, model: ModelConfig) -> "Line":
        from harness.agents.line import Line, Traits

        line = self._lines.get(endpoint.url)
        if line is None:
            line = self._lines[endpoint.url] = Line(
                endpoint.url,
                endpoint.key,
                model.concurrency,
                answered=self._answered,
                listener=self._on_change,
                learned=self._learned,
                clock=self._clock,
                first_pause_s=self._first_wait_s,
            )
            for (url, name), document in self._known.items():
                if url == endpoint.url:
                    line.knew(name, Traits.of(document))
        line.gate.at_most(model.concurrency)
        return line

    def _learned(self, url: str, model: str, traits: "Traits", why: str) -> None:
        self._known[url, model] = traits.document()
        if self._on_learned is not None:
            self._on_learned(url, model, traits.document(), why)


class NeedsModels:
    """What agents that call models have in common: the models they are configured with.

    Raises:
        ConfigurationError: On construction, when an endpoint or a model is not configured.
    """

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        for model in config.choices:
            resolve_endpoint(model)

    async def check(self) -> None:
        """Ask each endpoint once, so that a wrong address or key is known before the first step.

        Raises:
            ModelUnavailableError: Nothing answers.
            ModelRefusedError: The key is refused.
        """
        pool = EndpointPool()
        asked: set[tuple[str, str]] = set()
        try:
            for model in self._config.choices:
                client = pool.client(model)
                place = (client.url, model.key_variable)
                if place not in asked:
                    asked.add(place)
                    await client.check()
        finally:
            await pool.close()
