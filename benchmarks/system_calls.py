"""How many of the refused system calls would reach the kernel without the harness's own list.

    python -m benchmarks.system_calls [--providers process bubblewrap docker]

In a sandbox of each kind every call of `sandbox/seccomp.py` is made with arguments that it can do
nothing with. One that fails with anything but EPERM or ENOSYS was looked at by the kernel.
"""

import argparse
import asyncio
import json
import platform
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal


async def reached(provider: str, seccomp: Literal["harness", "engine"]) -> tuple[int, int]:
    """How many calls reached the kernel, and how many were made."""
    from harness.sandbox.base import Mount, SandboxSpec
    from harness.sandbox.config import SandboxConfig
    from harness.sandbox.providers import open_provider
    from harness.sandbox.seccomp import MACHINES, denied, table
    from harness.testing.sandbox.calls import TRY_CALLS

    column = MACHINES[platform.machine()][1] - 1
    calls = {name: table()[name][column] for name in denied() if table()[name][column] is not None}
    with ThreadPoolExecutor(4) as executor, tempfile.TemporaryDirectory() as work:
        Path(work).chmod(0o755)
        config = SandboxConfig(provider=provider, seccomp=seccomp)
        opened, _ = await open_provider(config, executor)
        mounts = (Mount(Path(work), "/work", read_only=False),)
        sandbox = await opened.create(SandboxSpec("produce", mounts))
        try:
            argv = ["python3", "-c", TRY_CALLS, json.dumps(calls)]
            ended = await sandbox.exec(argv, timeout_s=60)
        finally:
            await sandbox.close()
            await opened.close()
    found: dict[str, str] = json.loads(ended.stdout)
    return sum(how not in ("EPERM", "ENOSYS") for how in found.values()), len(found)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = ["process", "bubblewrap", "docker"]
    parser.add_argument("--providers", nargs="+", default=kinds, choices=kinds)
    providers = parser.parse_args().providers
    print("| sandbox | calls | reached with `engine` | with `harness` |\n|---|---|---|---|")
    for provider in providers:
        without, made = asyncio.run(reached(provider, "engine"))
        own, _ = asyncio.run(reached(provider, "harness"))
        print(f"| {provider} | {made} | {without} | {own} |", flush=True)


if __name__ == "__main__":
    main()
