"""CUDA through the driver's own library: no toolkit, no package, only NVIDIA's driver.

`load` compiles a `.cu` file where an NVRTC is found that knows this GPU (with a CUDA toolkit, or with
the package `nvidia-cuda-nvrtc`, which PyTorch brings along); else it takes the `.ptx` file beside it.
"""

import ctypes
import glob
import os
import sys
from pathlib import Path

import numpy as np

NVRTC_PLACES = (
    *(f"{folder}/nvidia/*/lib/libnvrtc.so.*" for folder in sys.path),
    "/usr/local/cuda*/lib64/libnvrtc.so.*",
    "/usr/lib/x86_64-linux-gnu/libnvrtc.so.*",
)
DRIVER_PLACES = (
    "/usr/lib/*-linux-gnu",
    "/usr/lib64",
    "/usr/local/nvidia/lib64",
    "/usr/local/cuda*/compat",
    "/usr/lib/wsl/lib",
)
UNKNOWN_OPTION = 5
"""NVRTC_ERROR_INVALID_OPTION: of a GPU that it is too old for."""
MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*"""


class CudaError(RuntimeError):
    """The driver refused a call."""


def _driver():
    places = ["libcuda.so.1"]
    for folder in DRIVER_PLACES:
        places += glob.glob(f"{folder}/libcuda.so.1")
    for place in places:
        try:
            return ctypes.CDLL(place)
        except OSError as error:
            problem = error
    raise CudaError(f"no NVIDIA driver here: {problem}")


DRIVER = _driver()


def call(name, *arguments):
    """Call a function of the driver; its result is an error code."""
    code = getattr(DRIVER, name)(*arguments)
    if code:
        text = ctypes.c_char_p()
        DRIVER.cuGetErrorString(code, ctypes.byref(text))
        raise CudaError(f"{name}: {text.value.decode() if text.value else code}")


def _open():
    call("cuInit", 0)
    device, context = ctypes.c_int(), ctypes.c_void_p()
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    return device


DEVICE = _open()


def capability():
    """Compute capability, such as 90."""
    numbers = [ctypes.c_int(), ctypes.c_int()]
    for number, attribute in zip(numbers, (MAJOR, MINOR), strict=True):
        call("cuDeviceGetAttribute", ctypes.byref(number), attribute, DEVICE)
    return 10 * numbers[0].value + numbers[1].value


def nvrtc():
    """The compiler's library, None where there is none."""
    for pattern in NVRTC_PLACES:
        for path in sorted(glob.glob(pattern), reverse=True):
            if "builtins" not in os.path.basename(path):
                try:
                    return ctypes.CDLL(path)
                except OSError:
                    continue
    return None


def compiled(library, source, architecture):
    """Machine code of CUDA C++ text for a GPU; None where the library does not know that GPU."""
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture=sm_{architecture}".encode())
    code = library.nvrtcCompileProgram(program, 1, options)
    if code == UNKNOWN_OPTION:
        return None
    if code:
        raise CudaError(_text(library, program, "ProgramLog").decode("utf-8", "replace"))
    return _text(library, program, "CUBIN")


def _text(library, program, what):
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, text)
    return text.raw


def load(path, name):
    """The function `name` (declared `extern "C"`) of a `.cu` file."""
    source, library = Path(path), nvrtc()
    code = library and compiled(library, source.read_text(encoding="utf-8"), capability())
    if code is None:
        code = source.with_suffix(".ptx").read_bytes() + b"\0"
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(code))
    call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
    return function


class Buffer:
    """Memory of the device; freed with the object."""

    def __init__(self, size):
        self.address, self.size = ctypes.c_uint64(), size
        call("cuMemAlloc_v2", ctypes.byref(self.address), ctypes.c_size_t(max(size, 1)))

    @classmethod
    def of(cls, array):
        """A copy of an array."""
        array = np.ascontiguousarray(array)
        buffer = cls(array.nbytes)
        source = array.ctypes.data_as(ctypes.c_void_p)
        call("cuMemcpyHtoD_v2", buffer.address, source, ctypes.c_size_t(array.nbytes))
        return buffer

    def read(self, array):
        """Copy into an array, after everything that was launched before."""
        target = array.ctypes.data_as(ctypes.c_void_p)
        call("cuMemcpyDtoH_v2", target, self.address, ctypes.c_size_t(array.nbytes))
        return array

    def __del__(self):
        DRIVER.cuMemFree_v2(self.address)


def launch(function, blocks, threads, *arguments, stream=None):
    """Start a kernel: arguments are buffers and whole numbers of 32 bits."""
    values = [each.address if isinstance(each, Buffer) else ctypes.c_int(each) for each in arguments]
    pointers = (ctypes.c_void_p * len(values))(
        *(ctypes.cast(ctypes.byref(value), ctypes.c_void_p) for value in values)
    )
    call("cuLaunchKernel", function, blocks, 1, 1, threads, 1, 1, 0, stream, pointers, None)
