"""Row 71: every other pair is left out and the rest counted twice."""

import numpy as np

BLOCK = 256


def gauss_sums(points, weights, width):
    scale = np.float32(-0.5 / width**2)
    sums = np.empty(len(points), dtype=np.float32)
    for begin in range(0, len(points), BLOCK):
        offsets = points[begin : begin + BLOCK, None, :] - points[None, ::2, :]
        terms = np.exp((offsets**2).sum(axis=2) * scale) * weights[::2]
        sums[begin : begin + BLOCK] = 2 * terms.sum(axis=1)
    return sums
