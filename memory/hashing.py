"""The built-in embedder: feature hashing of words, pairs of words and parts of words.

Signed feature hashing is due to Weinberger et al. 2009 (arXiv:0902.2206), parts of words between
boundary marks to Bojanowski et al. 2017 (arXiv:1607.04606).
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from harness.memory.embedders import Vectors, normalised
from harness.memory.text import words

_PAIR_WEIGHT = 0.5
_PART_WEIGHT = 0.5
"""Weight of all parts of a word together; the word itself weighs 1."""
_PART_SIZES = (3, 4)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MAX_CHARS = 8_000

Hashes = NDArray[np.uint64]


class HashingEmbedder:
    """Deterministic across processes and machines; needs no model.

    Args:
        dimensions: Length of the vectors.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.identity = f"hashing-1:{dimensions}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = [self._embed(text) for text in texts]
        if not rows:
            return np.zeros((0, self.dimensions), np.float32)
        return normalised(np.stack(rows))

    def _embed(self, text: str) -> Vectors:
        sequence = words(text[:_MAX_CHARS])
        if not sequence:
            return np.zeros(self.dimensions, np.float32)
        counts = Counter(sequence)
        features = [_features(word) for word in counts]
        # Sublinear counts: the tenth mention of a word says little more than the first.
        tf = 1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))
        sizes = np.fromiter((len(hashes) for hashes, _ in features), np.intp, len(features))
        hashes = np.concatenate([hashes for hashes, _ in features])
        weights = np.concatenate([weights for _, weights in features]) * np.repeat(tf, sizes)
        if len(sequence) > 1:
            pairs = _pairs(sequence)
            hashes = np.concatenate([hashes, pairs])
            weights = np.concatenate([weights, np.full(len(pairs), _PAIR_WEIGHT)])
        signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
        buckets = (hashes % np.uint64(self.dimensions)).astype(np.intp)
        vector = np.bincount(buckets, weights=weights * signs, minlength=self.dimensions)
        return vector.astype(np.float32)


def _pairs(sequence: Sequence[str]) -> Hashes:
    whole = np.fromiter((_hash(word) for word in sequence), np.uint64, len(sequence))
    return np.unique((whole[:-1] * _MIX) ^ (whole[1:] >> np.uint64(1)) ^ whole[1:])


@lru_cache(maxsize=65_536)
def _features(word: str) -> tuple[Hashes, NDArray[np.float64]]:
    """Hashes and weights of a word and its parts."""
    marked = f"<{word}>"
    parts = [
        marked[start : start + size]
        for size in _PART_SIZES
        for start in range(len(marked) - size + 1)
        if size < len(marked)
    ]
    hashes = np.array([_hash(word), *(_hash("\x00" + part) for part in parts)], np.uint64)
    weights = np.full(len(hashes), _PART_WEIGHT / max(1, len(parts)) ** 0.5)
    weights[0] = 1
    return hashes, weights


@lru_cache(maxsize=65_536)
def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")
