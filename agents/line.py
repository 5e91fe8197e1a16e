"""One endpoint as its callers share it: connections, gate, and what was learned of its models."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import openai

from harness.agents.gate import FIRST_PAUSE_S, Gate, Listener, Probe
from harness.clock import Clock
from harness.redact import redact

CONNECT_S = 10.0
"""Wait for a connection, and for the answer to a probe."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What was found out about a model by asking it, once for each endpoint."""

    protocol: Literal["tools", "text"] | None = None
    """How it calls tools; None while that is not known."""
    limit_field: str = "max_tokens"
    """Under which name it takes the length limit."""
    dropped: frozenset[str] = frozenset()
    """Parameters it refuses; `system`: it takes no system message."""

    def document(self) -> dict[str, Any]:
        """As plain JSON, for the journal."""
        return {**asdict(self), "dropped": sorted(self.dropped)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Traits":
        """What `document` gave."""
        dropped: frozenset[str] = frozenset(document["dropped"])
        return cls(document["protocol"], document["limit_field"], dropped)


Learned = Callable[[str, str, Traits, str], None]
"""Told what was learned: address, model, all that is known now, and why."""


class Line:
    """Belongs to one event loop. Made by `EndpointPool`, or by a `ModelClient` for itself alone.

    Args:
        url: The endpoint's address.
        key: For probes; the endpoint's answer to them matters, not whether it lets us in.
        most: Calls at once, at most.
        answered: Whether it is known to work, from an earlier session.
        listener: Told of outages.
        learned: Told what was found out about a model.
        clock: For dates.
        first_pause_s: Before the first probe of an outage.
    """

    def __init__(
        self,
        url: str,
        key: str,
        most: int,
        *,
        answered: bool = False,
        listener: Listener | None = None,
        learned: Learned | None = None,
        clock: Clock | None = None,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.url = url
        self._learned = learned
        self._traits: dict[str, Traits] = {}
        # A pool of connections costs memory, most of it for certificates: one for each endpoint,
        # however many agents and models call it. Over aiohttp: half the CPU of the client's own.
        self._http = openai.DefaultAioHttpClient()
        self._prober = self.client(key, openai.Timeout(CONNECT_S))
        self.gate = Gate(
            url,
            most,
            probe=self._probe,
            answered=answered,
            listener=listener,
            clock=clock,
            first_pause_s=first_pause_s,
        )

    def client(self, key: str, timeout: openai.Timeout) -> openai.AsyncOpenAI:
        """A client with its own key and time-out on the shared connections."""
        redact.learn("model key", key)
        return openai.AsyncOpenAI(
            base_url=self.url,
            api_key=key or "none",  # a local endpoint needs no key, but the client insists on one
            max_retries=0,
            timeout=timeout,
            http_client=self._http,
        )

    def traits(self, model: str, otherwise: Traits) -> Traits:
        """What is known of a model; `otherwise` before anything is."""
        return self._traits.get(model, otherwise)

    def knew(self, model: str, traits: Traits) -> None:
        """Something that an earlier session found out."""
        self._traits[model] = traits

    def learn(self, model: str, otherwise: Traits, why: str, **change: Any) -> None:
        """Change what is known of a model; told to the listener when it is news."""
        changed = replace(self.traits(model, otherwise), **change)
        if self._traits.get(model) != changed:
            self._traits[model] = changed
            if self._learned is not None:
                self._learned(self.url, model, changed, why)

    async def _probe(self) -> Probe:
        """Ask for the list of models: every status below 500 comes from a server that works."""
        try:
            await self._prober.models.with_raw_response.list()
        except openai.APIStatusError as error:
            return Probe.UNCLEAR if error.status_code >= 500 else Probe.UP
        except openai.APIConnectionError:
            return Probe.DOWN
        except Exception:  # supervision: an outage must not outlive a probe that went wrong
            return Probe.UNCLEAR
        return Probe.UP

    async def close(self) -> None:
        """Stop probing and close the connections."""
        await self.gate.close()
        await self._http.aclose()
