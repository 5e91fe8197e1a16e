"""PyTorch: phases by matrix products, a slice of waves at a time; the seed's way without PyTorch."""

import direct

try:
    import torch
except ImportError:
    torch = None

SLICE = 2048


def structure_factors(points, weights, waves):
    if torch is None or not torch.cuda.is_available():
        return direct.structure_factors(points, weights, waves)
    points, weights, waves = (torch.from_numpy(each).cuda() for each in (points, weights, waves))
    factors = torch.empty((len(waves), 2), device="cuda")
    for begin in range(0, len(waves), SLICE):
        phases = waves[begin : begin + SLICE] @ points.T
        factors[begin : begin + SLICE, 0] = torch.cos(phases) @ weights
        factors[begin : begin + SLICE, 1] = torch.sin(phases) @ weights
    return factors.cpu().numpy()
