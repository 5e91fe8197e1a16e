"""The OpenAI-compatible embedder through the real client, over HTTP to a loopback server."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stamina

from harness.clock import SystemClock
from harness.errors import ConfigurationError, ModelUnavailableError
from harness.memory.base import MemoryConfig
from harness.memory.hashing import HashingEmbedder
from harness.memory.open import open_memory
from harness.memory.openai_embedder import OpenAIEmbedder
from harness.testing.memory import ANNEALING, GRID, make_query

WORDS = HashingEmbedder(48)


class Endpoint:
    """Answers embeddings (in reverse order, as it may); `failures` are answered first."""

    def __init__(self) -> None:
        self.failures: list[int] = []
        self.down = False
        self.batches: list[int] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = endpoint.answer(body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Silent; the argument is the base class's."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.down:
            return 503, {"error": {"message": "overloaded"}}
        if self.failures:
            return self.failures.pop(0), {"error": {"message": "scripted"}}
        self.batches.append(len(body["input"]))
        rows = [
            {"object": "embedding", "index": index, "embedding": (3 * vector).tolist()}
            for index, vector in enumerate(WORDS.embed(body["input"]))
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return 200, {"object": "list", "data": rows[::-1], "model": body["model"], "usage": usage}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    endpoint = Endpoint()
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    stamina.set_testing(True, attempts=4)  # real retries without their waits
    yield endpoint
    stamina.set_testing(False)
    endpoint.server.shutdown()
    endpoint.server.server_close()


def test_batches_keep_their_order_and_are_normalised(endpoint: Endpoint) -> None:
    embedder = OpenAIEmbedder("small")
    assert (embedder.dimensions, embedder.identity) == (48, "openai:small:48")
    texts = [f"annealing number {number}" for number in range(200)] + [""]
    vectors = embedder.embed(texts)
    assert endpoint.batches == [1, 128, 73]
    np.testing.assert_allclose(vectors[:200], WORDS.embed(texts[:200]), atol=1e-5)


def test_transient_failures_are_retried(endpoint: Endpoint) -> None:
    embedder = OpenAIEmbedder("small")
    endpoint.failures = [429, 500, 503]
    assert embedder.embed(["annealing"]).shape == (1, 48)
    endpoint.down = True
    with pytest.raises(ModelUnavailableError, match="does not answer"):
        embedder.embed(["annealing"])


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_the_users_to_mend(endpoint: Endpoint, status: int) -> None:
    endpoint.failures = [status]
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        OpenAIEmbedder("small")
    assert endpoint.failures == []
    assert endpoint.batches == []


def test_no_key_is_said_before_anything_is_asked(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        OpenAIEmbedder("small")
    assert endpoint.batches == []


async def test_a_silent_endpoint_loses_no_record(endpoint: Endpoint, tmp_path: Path) -> None:
    config = MemoryConfig(path=str(tmp_path), embedder="openai:small")
    with ThreadPoolExecutor(2) as executor:
        memory = await open_memory(config, executor, clock=SystemClock())
        endpoint.down = True
        await memory.write(ANNEALING)
        await memory.write(GRID)
        assert (await memory.stats())["vectors"] == 0
        found = await memory.recall(make_query("hexagonal lattice"))
        assert [each.record for each in found] == [GRID]
        endpoint.down = False
        assert await memory.recall(make_query("hexagonal lattice")) != []
        assert (await memory.stats())["vectors"] == 2
        await memory.close()
