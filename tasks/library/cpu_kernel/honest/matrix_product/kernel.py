"""Squares of distances from a matrix product of centred points."""

import numpy as np

BLOCK = 128


def gauss_sums(points, weights, width):
    centred = (points - points.mean(axis=0)) / np.float32(width * 2**0.5)
    norms = np.einsum("ij,ij->i", centred, centred)
    sums = np.empty(len(points), dtype=np.float32)
    for begin in range(0, len(points), BLOCK):
        rows = slice(begin, begin + BLOCK)
        exponents = centred[rows] @ (2 * centred.T)
        exponents -= norms
        exponents -= norms[rows, None]
        np.exp(exponents, out=exponents)
        sums[rows] = exponents @ weights
    return sums
