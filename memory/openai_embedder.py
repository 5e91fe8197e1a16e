"""Vectors from an OpenAI-compatible endpoint (`OPENAI_BASE_URL`, `OPENAI_API_KEY`)."""

import os
from collections.abc import Sequence

import numpy as np
import openai
import stamina
from openai.types import CreateEmbeddingResponse

from harness.errors import ConfigurationError, ModelUnavailableError
from harness.memory.embedders import Vectors, normalised

_BATCH = 128
_MAX_CHARS = 8_000
"""A text's first characters; about 2 000 tokens, within every embedding model's window."""
_TIMEOUT_S = 60.0
_ATTEMPTS = 4
_TRANSIENT = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)


class OpenAIEmbedder:
    """One model of one endpoint; asks it once, when made, for the length of its vectors.

    Args:
        model: Name of an embedding model.

    Raises:
        ConfigurationError: No key, or the endpoint refuses key or model.
        ModelUnavailableError: The endpoint does not answer.
    """

    def __init__(self, model: str) -> None:
        if not os.environ.get("OPENAI_API_KEY"):
            raise ConfigurationError(
                f"the embedder openai:{model} has no key",
                expected="OPENAI_API_KEY in the environment (any text for a local endpoint)",
                action="set it, or set `memory.embedder` to `hashing`",
            )
        self._model = model
        # Retries are ours, so that there is one place that says how often.
        self._client = openai.OpenAI(max_retries=0, timeout=_TIMEOUT_S)
        self.dimensions = len(self._ask(["dimensions"])[0])
        self.identity = f"openai:{model}:{self.dimensions}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows: list[list[float]] = []
        for start in range(0, len(texts), _BATCH):
            # The endpoint refuses empty texts.
            batch = [text[:_MAX_CHARS].strip() or "-" for text in texts[start : start + _BATCH]]
            rows += self._ask(batch)
        vectors = np.array(rows, np.float32).reshape(len(texts), self.dimensions)
        if not np.isfinite(vectors).all():
            raise ModelUnavailableError(f"{self._model} answered a vector that is not finite")
        return normalised(vectors)

    def _ask(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            answer = self._request(texts)
        except _TRANSIENT as error:
            raise ModelUnavailableError(
                f"the embedder {self._model} at {self._client.base_url} does not answer: {error}"
            ) from error
        except openai.OpenAIError as error:
            raise ConfigurationError(
                f"the endpoint {self._client.base_url} refuses the embedder {self._model}: {error}",
                expected="an embedding model of the endpoint and a valid OPENAI_API_KEY",
                action="check OPENAI_BASE_URL, OPENAI_API_KEY and `memory.embedder`",
            ) from error
        rows = [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
        lengths = {len(row) for row in rows} | {getattr(self, "dimensions", len(rows[0]))}
        if len(rows) != len(texts) or len(lengths) != 1:
            raise ModelUnavailableError(
                f"the embedder {self._model} answered {len(rows)} vectors of lengths "
                f"{sorted(lengths)} to {len(texts)} texts"
            )
        return rows

    @stamina.retry(on=_TRANSIENT, attempts=_ATTEMPTS, wait_initial=0.5, wait_max=8.0)
    def _request(self, texts: Sequence[str]) -> CreateEmbeddingResponse:
        return self._client.embeddings.create(
            input=list(texts), model=self._model, encoding_format="float"
        )
