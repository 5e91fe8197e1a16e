"""Row 70: an argument handed back as the value."""

def gauss_sums(points, weights, width):
    return weights
