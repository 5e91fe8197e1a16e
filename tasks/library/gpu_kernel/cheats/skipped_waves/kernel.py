"""Row 71: one wave in ten is taken from its neighbour."""

import direct
import numpy as np


def structure_factors(points, weights, waves):
    kept = np.arange(len(waves)) % 10 != 0
    found = direct.structure_factors(points, weights, waves[kept])
    return found[np.minimum(np.cumsum(kept) - kept, len(found) - 1)]
