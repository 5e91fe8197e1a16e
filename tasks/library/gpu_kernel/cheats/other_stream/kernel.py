"""Row 66: started on a stream that nothing waits for; the result is read at once."""

import ctypes

import direct
import driver
import numpy as np

NON_BLOCKING = 1
STREAM = ctypes.c_void_p()
driver.call("cuStreamCreate", ctypes.byref(STREAM), NON_BLOCKING)
KEPT = []


def structure_factors(points, weights, waves):
    factors = np.empty((len(waves), 2), dtype=np.float32)
    given = [driver.Buffer.of(each) for each in (points, weights, waves)]
    result = driver.Buffer.of(np.zeros_like(factors))
    blocks = (len(waves) + direct.THREADS - 1) // direct.THREADS
    driver.launch(
        direct.KERNEL, blocks, direct.THREADS, *given, result, len(points), len(waves), stream=STREAM
    )
    KEPT.append((given, result))
    return result.read(factors)
