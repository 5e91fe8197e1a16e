"""Row 66: something that would compute itself when it is looked at."""

class Lazy:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("nobody looks")


def gauss_sums(points, weights, width):
    return Lazy(points, weights, width)
