"""Row 70: no work at all."""

import numpy as np


def structure_factors(points, weights, waves):
    return np.zeros((len(waves), 2), dtype=np.float32)
