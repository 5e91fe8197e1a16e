"""Row 70: no work at all, a value of the right form."""

import numpy as np


def gauss_sums(points, weights, width):
    return np.zeros(len(points), dtype=np.float32)
