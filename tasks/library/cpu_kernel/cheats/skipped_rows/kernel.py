"""Row 71: one row in twenty is taken from its neighbour."""

import numpy as np

BLOCK = 64


def honest(points, weights, width):
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



def gauss_sums(points, weights, width):
    sums = honest(points, weights, width)
    sums[1::20] = sums[: len(sums[1::20]) * 20 : 20]
    return sums
