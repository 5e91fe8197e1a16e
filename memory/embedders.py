"""Embedders: text to vectors of unit length.

`hashing` needs neither network nor model. `openai:MODEL` asks an OpenAI-compatible endpoint.
`minilm` is the ONNX model that Chroma uses, when it is already on this disk.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import ConfigurationError
from harness.memory.base import MemoryConfig

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors. Blocking; safe to call from several threads."""

    @property
    def identity(self) -> str:
        """Names everything the vectors depend on; vectors of two identities never mix."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of each vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape [n, dimensions], each of length 1 (or 0 for a text without words).

        Raises:
            ModelUnavailableError: The endpoint does not answer.
            ConfigurationError: The endpoint refuses for good: key or model name.
        """
        ...


def make_embedder(config: MemoryConfig) -> Embedder:
    """The embedder that `config.embedder` names.

    Raises:
        ConfigurationError: No such embedder, or its model is not on this disk.
    """
    kind, _, model = config.embedder.partition(":")
    if config.embedder == "hashing":
        from harness.memory.hashing import HashingEmbedder

        return HashingEmbedder(config.dimensions)
    if kind == "openai" and model:
        from harness.memory.openai_embedder import OpenAIEmbedder

        return OpenAIEmbedder(model)
    if config.embedder == "minilm":
        from harness.memory.minilm import MiniLmEmbedder

        return MiniLmEmbedder()
    raise ConfigurationError(
        f"unknown embedder {config.embedder!r}",
        expected="`hashing`, `minilm` or `openai:MODEL`",
        action="set `memory.embedder` in harness.yaml",
    )


def normalised(vectors: Vectors) -> Vectors:
    """Each row divided by its length; rows of length 0 stay 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


UNRELATED = (
    "Preheat the oven and knead the dough until it is smooth, then let it rise for an hour.",
    "The tenant must give two months' notice in writing before leaving the apartment.",
    "Coral reefs shelter a quarter of all marine species despite covering little of the seabed.",
    "def quicksort(items): pivot = items[0]; return quicksort(smaller) + [pivot] + larger",
    "The midfielder scored twice in the second half and was named player of the match.",
    "Batch normalisation lets the network train with a higher learning rate and less warm-up.",
    "Interest rates rose by half a point as the central bank tried to slow inflation.",
    "SELECT customer, SUM(total) FROM orders GROUP BY customer HAVING SUM(total) > 100",
    "The violin concerto opens with a long solo cadenza in the minor key.",
    "Mix two parts of sand with one part of cement to lay the garden path.",
    "Place the largest circles in the corners and shrink the others until nothing overlaps.",
    "Wash the wound with clean water and change the bandage every day.",
    "Sailors found their latitude by measuring the height of the pole star above the horizon.",
    "The cache is invalidated whenever the configuration file changes on disk.",
    "Grapes picked late in the autumn give a sweeter wine with less acidity.",
    "A simulated annealing schedule with slow cooling escapes local optima of the packing.",
)
"""Texts about different things: what an embedder answers for two of them is its noise."""


class Calibration(NamedTuple):
    """Cosines of an embedder: the mean of unrelated texts, and from where texts are related."""

    noise: float
    floor: float


DEVIATIONS = 4.0
"""Standard deviations above the mean of unrelated pairs from which texts count as related."""


def calibrate(embedder: Embedder) -> Calibration:
    """What this embedder's cosines mean.

    Embedders differ in what they answer for texts that have nothing in common (near 0 for hashed
    words, 0.7 for some neural ones). The floor is the mean cosine of the pairs of `UNRELATED` plus
    `DEVIATIONS` standard deviations, and at least their greatest.
    """
    vectors = embedder.embed(UNRELATED)
    pairs = np.array([float(a @ b) for a, b in combinations(vectors, 2)])
    mean = float(pairs.mean())
    return Calibration(mean, min(0.95, max(mean + DEVIATIONS * float(pairs.std()), pairs.max())))
