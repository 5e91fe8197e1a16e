"""Structure factors: the function that is timed."""

import direct


def structure_factors(points, weights, waves):
    """factors[m] = sum over n of weights[n] * (cos, sin)(waves[m] . points[n]).

    points: float32 array (n, 3); weights: float32 array (n); waves: float32 array (m, 3). Returns
    float32 (m, 2).
    """
    return direct.structure_factors(points, weights, waves)
