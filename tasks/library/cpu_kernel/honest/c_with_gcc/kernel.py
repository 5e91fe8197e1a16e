"""C compiled when the file is loaded; NumPy where there is no compiler."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).resolve().with_name("gauss.c")
BLOCK = 256


def compiled():
    """The C function, None without a compiler."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    library = SOURCE.with_suffix(".so")
    flags = ["-O3", "-march=native", "-ffast-math", "-fPIC", "-shared"]
    subprocess.run([gcc, *flags, str(SOURCE), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).gauss_sums
    vector = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
    function.argtypes = [vector, vector, vector, vector, ctypes.c_float, ctypes.c_long, vector]
    function.restype = None
    return function


KERNEL = compiled()


def gauss_sums(points, weights, width):
    scale = -0.5 / width**2
    sums = np.empty(len(points), dtype=np.float32)
    if KERNEL is not None:
        axes = (np.ascontiguousarray(points[:, axis]) for axis in range(3))
        KERNEL(*axes, weights, scale, len(points), sums)
        return sums
    for begin in range(0, len(points), BLOCK):
        squares = np.zeros((min(BLOCK, len(points) - begin), len(points)), dtype=np.float32)
        for axis in points.T:
            squares += np.subtract.outer(axis[begin : begin + BLOCK], axis) ** 2
        sums[begin : begin + BLOCK] = np.exp(squares * np.float32(scale)) @ weights
    return sums
