"""What candidates are compared with: plain NumPy, all pairs in blocks."""

from typing import Any

import numpy as np

BLOCK = 256


def gauss_sums(points: Any, weights: Any, width: float) -> Any:
    scale = np.float32(-0.5 / width**2)
    sums = np.empty(len(points), dtype=np.float32)
    for begin in range(0, len(points), BLOCK):
        squares = np.zeros((len(points[begin : begin + BLOCK]), len(points)), dtype=np.float32)
        for axis in points.T:
            squares += np.subtract.outer(axis[begin : begin + BLOCK], axis) ** 2
        sums[begin : begin + BLOCK] = np.exp(squares * scale) @ weights
    return sums


def null(points: Any, weights: Any, width: float) -> Any:
    """The same way there and back, without the work."""
    return np.zeros(len(points), dtype=np.float32)
