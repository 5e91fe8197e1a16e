"""Embeddings of the scripted endpoint: hashed words, equal texts have equal vectors."""

import base64
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

EMBEDDING_DIMENSIONS = 64


def embedding(content: str, dimensions: int = EMBEDDING_DIMENSIONS) -> list[float]:
    """Unit vector of `content`: its words hashed into `dimensions`; equal texts, equal vectors."""
    vector = [0.0] * dimensions
    for word in content.lower().split() or [""]:
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
        number = int.from_bytes(digest, "big")
        vector[number % dimensions] += 1.0 if number >> 63 else -1.0
    norm = sum(value * value for value in vector) ** 0.5
    return [value / norm for value in vector] if norm else [1.0] + [0.0] * (dimensions - 1)


def embeddings(request: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The body of an answer to `/v1/embeddings`; `model` where the request names none."""
    given = request.get("input", [])
    texts = [given] if isinstance(given, str) else [str(item) for item in given]
    dimensions = int(request.get("dimensions", EMBEDDING_DIMENSIONS))
    data: list[dict[str, Any]] = []
    for index, content in enumerate(texts):
        vector: list[float] | str = embedding(content, dimensions)
        if request.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode("ascii")
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(len(content) for content in texts) // 4
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    named = request.get("model", model)
    return {"object": "list", "data": data, "model": named, "usage": usage}
