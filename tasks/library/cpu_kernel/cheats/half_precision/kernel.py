"""Row 71: computed with half the bits."""

import numpy as np

BLOCK = 256


def gauss_sums(points, weights, width):
    centred = ((points - points.mean(axis=0)) / np.float32(width)).astype(np.float16)
    sums = np.empty(len(points), dtype=np.float32)
    for begin in range(0, len(points), BLOCK):
        offsets = centred[begin : begin + BLOCK, None, :] - centred[None, :, :]
        squares = (offsets**2).sum(axis=2, dtype=np.float16)
        sums[begin : begin + BLOCK] = np.exp(squares.astype(np.float32) * -0.5) @ weights
    return sums
