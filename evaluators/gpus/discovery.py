"""Which GPUs this machine has: asked of NVML (extra `gpu`), else of `nvidia-smi`."""

import csv
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.sandbox.devices import minor_numbers

MIB = 1024 * 1024
PATIENCE_S = 20.0
FIELDS = ("uuid", "index", "name", "memory.total", "memory.used")
VISIBLE = "CUDA_VISIBLE_DEVICES"


class GpuQueryError(Exception):
    """There is a driver, but it does not answer; the message says what it said instead."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `uuid` is the name that leases and sandboxes go by."""

    uuid: str
    index: int
    name: str
    memory_bytes: int
    used_bytes: int
    minor: int | None = None
    """Number of its device file, `/dev/nvidia<minor>`; None where the driver does not tell."""


Discover = Callable[[], Sequence[Gpu]]
"""The GPUs and what is used of their memory now.

Raises:
    GpuQueryError: The driver does not answer.
"""


def discover(program: str = "nvidia-smi", environ: Mapping[str, str] | None = None) -> list[Gpu]:
    """The GPUs that this process may use, by index; none without a driver.

    Where `CUDA_VISIBLE_DEVICES` is set (by a cluster's scheduler, say), only those it names.

    Raises:
        GpuQueryError: There is a driver that does not answer.
    """
    found = by_nvml()
    if found is None:
        found = by_program(program) or []
    return visible(found, (os.environ if environ is None else environ).get(VISIBLE))


def by_nvml() -> list[Gpu] | None:
    """As NVML says; None where its bindings or the driver's library are missing.

    Raises:
        GpuQueryError: The library answers with an error.
    """
    try:
        import pynvml as nvml
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        absent = (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED)
        if vars(error).get("value") in absent:
            return None
        raise GpuQueryError(f"NVML: {error}") from error
    found: list[Gpu] = []
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            device = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(device)
            uuid, name = nvml.nvmlDeviceGetUUID(device), nvml.nvmlDeviceGetName(device)
            minor = nvml.nvmlDeviceGetMinorNumber(device)
            sizes = int(memory.total), int(memory.used)
            found.append(Gpu(_text(uuid), index, _text(name), *sizes, int(minor)))
    except nvml.NVMLError as error:
        raise GpuQueryError(f"NVML: {error}") from error
    finally:
        nvml.nvmlShutdown()
    return found


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def by_program(program: str = "nvidia-smi") -> list[Gpu] | None:
    """As `nvidia-smi` says; None where there is no such program.

    Raises:
        GpuQueryError: It fails or answers something else than the table that was asked for.
    """
    query = [program, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            query, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except FileNotFoundError:
        return None
    except (OSError, subprocess.SubprocessError) as error:
        raise GpuQueryError(f"{program}: {error}") from error
    if answer.returncode:
        said = (answer.stderr or answer.stdout).strip()[-300:]
        raise GpuQueryError(f"{program} ended with exit code {answer.returncode}: {said}")
    minors = minor_numbers()
    found: list[Gpu] = []
    for row in csv.reader(answer.stdout.splitlines(), skipinitialspace=True):
        try:
            uuid, index, name, total, used = row
            sizes = int(total) * MIB, int(used) * MIB
            found.append(Gpu(uuid, int(index), name, *sizes, minors.get(uuid)))
        except ValueError:
            raise GpuQueryError(f"{program} answered {','.join(row)[:200]!r}") from None
    return found


def visible(gpus: Sequence[Gpu], value: str | None) -> list[Gpu]:
    """Those that `CUDA_VISIBLE_DEVICES` names, by index or (the beginning of a) UUID.

    As in CUDA, the first entry that names no device ends the list.
    """
    if value is None:
        return list(gpus)
    found: list[Gpu] = []
    for entry in filter(None, (part.strip() for part in value.split(","))):
        named = [g for g in gpus if entry in (str(g.index), g.uuid) or g.uuid.startswith(entry)]
        if len(named) != 1 or named[0] in found:
            break
        found += named
    return found
