"""What the run says of outages, of model endpoints and of sandboxes, and of what models can do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.agents.addresses import resolve_endpoint
from harness.agents.config import ModelConfig
from harness.agents.endpoints import EndpointPool, Outage
from harness.clock import Clock
from harness.events import EventKind
from harness.run import rows
from harness.run.store import Store
from harness.sandbox.base import SandboxProvider
from harness.sandbox.watch import ProviderOutage, ProviderWatch

LEARNED = "models"
"""Entry of the meta data with what was learnt of each model, by address and name."""


def open_endpoints(store: Store, clock: Clock) -> EndpointPool:
    """The run's endpoints; outages and findings are journalled, findings outlive the session."""
    known = _known(store)

    def changed(outage: Outage, over: bool) -> None:
        seconds = clock.now() - outage.since
        text = (
            f"the endpoint {outage.url} answers again after {seconds:.0f} s"
            if over
            else f"agents wait for the endpoint {outage.url}: {outage.reason}"
        )
        store.event(EventKind.ENDPOINT, url=outage.url, over=over, text=text)

    def learned(url: str, model: str, document: Mapping[str, Any], why: str) -> None:
        known[url, model] = document
        saved = [[*key, dict(value)] for key, value in known.items()]
        store.set_meta(LEARNED, rows.dump(saved))
        text = f"model {model}: {', '.join(f'{k} {v}' for k, v in document.items())} ({why})"
        store.event(EventKind.ENDPOINT, url=url, model=model, traits=dict(document), text=text)

    return EndpointPool(
        clock=clock,
        on_change=changed,
        on_learned=learned,
        known=known,
        answered=store.accounts.usage().completion_tokens > 0,
    )


def watch_provider(
    provider: SandboxProvider, name: str, store: Store, clock: Clock
) -> ProviderWatch:
    """The watch over the run's sandboxes; outages are journalled."""

    def changed(outage: ProviderOutage, over: bool) -> None:
        seconds = clock.now() - outage.since
        text = (
            f"{name} answers again after {seconds:.0f} s"
            if over
            else f"agents and evaluations wait for {name}, which does not answer: {outage.reason}"
        )
        store.event(EventKind.WARNING, text=text, provider=name, over=over)

    return ProviderWatch(provider, listener=changed, clock=clock)


def worked_before(store: Store, models: Sequence[ModelConfig]) -> bool:
    """Whether earlier sessions had answers at the addresses of all these models."""
    answered = {url for url, _ in _known(store)}
    return all(resolve_endpoint(model).url in answered for model in models)


def _known(store: Store) -> dict[tuple[str, str], Mapping[str, Any]]:
    found = json.loads(store.meta().get(LEARNED, "[]"))
    return {(url, model): document for url, model, document in found}
