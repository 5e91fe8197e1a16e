"""Device files of NVIDIA's GPUs: which belong to a sandbox, and which must be hidden from it."""

from collections.abc import Collection
from pathlib import Path

DEVICES = Path("/dev")
DRIVER = Path("/proc/driver/nvidia/gpus")
SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
"""What every program that uses some GPU opens."""


def minor_numbers(driver: Path = DRIVER) -> dict[str, int]:
    """Numbers of the device files by UUID, as the driver tells them under /proc."""
    found: dict[str, int] = {}
    try:
        for folder in driver.iterdir():
            text = (folder / "information").read_text(encoding="utf-8", errors="replace")
            pairs = [line.split(":", 1) for line in text.splitlines() if ":" in line]
            facts = {key.strip(): value.strip() for key, value in pairs}
            minor = facts.get("Device Minor", "")
            if "GPU UUID" in facts and minor.isdigit():
                found[facts["GPU UUID"]] = int(minor)
    except OSError:
        return found
    return found


def device_files(
    gpus: Collection[str], devices: Path = DEVICES, driver: Path = DRIVER
) -> tuple[list[str], list[str]]:
    """The GPUs' files that a sandbox with these GPUs (UUIDs) is given, and those hidden from it.

    Where the driver does not tell which file is which GPU's, all are given.
    """
    present = {path.name: str(path) for path in sorted(devices.glob("nvidia*"))}
    numbers = minor_numbers(driver)
    of_gpus = {name for name in present if name.removeprefix("nvidia").isdigit()}
    if not gpus:
        wanted = set[str]()
    elif set(gpus) <= numbers.keys():
        wanted = {f"nvidia{numbers[gpu]}" for gpu in gpus} | set(SHARED)
    else:
        wanted = of_gpus | set(SHARED)
    given = [path for name, path in present.items() if name in wanted]
    hidden = [
        path
        for name, path in present.items()
        if name not in wanted and (name in of_gpus or name in SHARED)
    ]
    return given, hidden
