"""Sums of Gaussians over all pairs of points: the function that is timed."""

import numpy as np

BLOCK = 64


def gauss_sums(points, weights, width):
    """sums[i] = sum over j of weights[j] * exp(-|points[i] - points[j]|^2 / (2 width^2)).

    points: float32 array (n, 3); weights: float32 array (n); width: float. Returns float32 (n).
    """
    scale = np.float32(-0.5 / width**2)
    sums = np.empty(len(points), dtype=np.float32)
    terms = np.empty((BLOCK, len(points)), dtype=np.float32)
    offsets = np.empty_like(terms)
    for begin in range(0, len(points), BLOCK):
        rows = points[begin : begin + BLOCK]
        block, other = terms[: len(rows)], offsets[: len(rows)]
        block.fill(0)
        for axis in range(3):
            np.subtract(rows[:, axis, None], points[:, axis], out=other)
            np.multiply(other, other, out=other)
            block += other
        block *= scale
        np.exp(block, out=block)
        block *= weights
        np.sum(block, axis=1, out=sums[begin : begin + BLOCK])
    return sums
