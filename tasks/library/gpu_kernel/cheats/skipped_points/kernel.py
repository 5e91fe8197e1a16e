"""Row 71: every other point, counted twice."""

import direct


def structure_factors(points, weights, waves):
    return direct.structure_factors(points[::2], 2 * weights[::2], waves)
