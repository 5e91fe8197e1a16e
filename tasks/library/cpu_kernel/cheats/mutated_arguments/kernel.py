"""Row 68: the arguments are changed so that nothing is the right value."""

import numpy as np


def gauss_sums(points, weights, width):
    weights[:] = 0
    points[:] = 0
    return np.zeros(len(points), dtype=np.float32)
