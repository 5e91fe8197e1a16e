"""`harness doctor`: what works on this machine, what is missing, and what to do about it."""

import asyncio
import os
import platform
import shutil
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from harness.cli.output import JsonFlag, print_json
from harness.errors import HarnessError
from harness.evaluators.gpus.discovery import GpuQueryError, discover
from harness.evaluators.gpus.leases import GpuLeases
from harness.events import SCHEMA_VERSION
from harness.memory.base import MemoryConfig
from harness.memory.folder import memory_folder
from harness.run.config import load_config
from harness.sandbox.config import SandboxConfig
from harness.sandbox.providers import BUILT_IN, open_provider

ENDPOINT_TIMEOUT_S = 5.0
LOW_DISK_GIB = 5.0
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `missing` limits what can be done, `error` prevents all work."""

    name: str
    state: Literal["ok", "missing", "error"]
    detail: str
    action: str = ""


def doctor(*, json: JsonFlag = False) -> int:
    """What works on this machine, what is missing, and what to do about it."""
    findings = [_python(), _git(), *_sandboxes(), _gpus(), _endpoint(), _embedder(), _disk()]
    broken = any(finding.state == "error" for finding in findings)
    if json:
        checks = [asdict(finding) for finding in findings]
        print_json({"schema_version": SCHEMA_VERSION, "ok": not broken, "checks": checks})
    else:
        for finding in findings:
            print(f"{finding.state:<8}{finding.name:<12}{finding.detail}")
            if finding.action:
                print(f"{'':<20}to do: {finding.action}")
    return 1 if broken else 0


def _python() -> Finding:
    detail = f"{platform.python_version()} on {platform.system()}, SQLite {sqlite3.sqlite_version}"
    return Finding("python", "ok", detail)


def _git() -> Finding:
    path = shutil.which("git")
    if path is None:
        return Finding("git", "error", "not found", "install git")
    return Finding("git", "ok", path)


def _sandboxes() -> list[Finding]:
    advice = {
        "docker": "install Docker and run `harness image build`",
        "bubblewrap": "install bubblewrap (Debian and Ubuntu: apt-get install bubblewrap)",
        "process": "",
    }
    return [asyncio.run(_sandbox(name, advice[name])) for name in BUILT_IN]


async def _sandbox(name: str, action: str) -> Finding:
    with ThreadPoolExecutor(4) as executor:
        try:
            provider, found = await open_provider(SandboxConfig(provider=name), executor)
        except HarnessError as error:
            return Finding(name, "missing", str(error).splitlines()[0], action)
        await provider.close()
    lacks = f"; not enforced: {', '.join(found.not_enforced)}" if found.not_enforced else ""
    return Finding(name, "ok", found.detail + lacks, "; ".join(found.warnings))


def _gpus() -> Finding:
    config = load_config({}).evaluators
    find = partial(discover, config.nvidia_smi)
    try:
        gpus, held = find(), GpuLeases(find, folder=config.lease_dir).leases()
    except GpuQueryError as error:
        return Finding("gpu", "missing", str(error), "check the NVIDIA driver with nvidia-smi")
    if not gpus:
        return Finding("gpu", "missing", "none found", "nothing, unless a task needs a GPU")
    shown: list[str] = []
    for gpu in gpus:
        used, size = (f"{size / GIB:.1f}" for size in (gpu.used_bytes, gpu.memory_bytes))
        who = [f"{each.share:g} leased by {each.run or each.pid}" for each in held]
        users = [text for text, each in zip(who, held, strict=True) if each.gpu == gpu.uuid]
        shown.append(", ".join([f"{gpu.index}: {gpu.name}, {used} of {size} GiB used", *users]))
    return Finding("gpu", "ok", "; ".join(shown))


def _endpoint() -> Finding:
    url = os.environ.get("OPENAI_BASE_URL")
    key = os.environ.get("OPENAI_API_KEY")
    if not url and not key:
        return Finding(
            "model",
            "missing",
            "neither OPENAI_BASE_URL nor OPENAI_API_KEY is set: only the offline agent works",
            "set OPENAI_BASE_URL to an OpenAI-compatible endpoint, and OPENAI_API_KEY if it"
            " needs one",
        )
    address = (url or "https://api.openai.com/v1").rstrip("/") + "/models"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {key or 'none'}"})
    try:
        with urllib.request.urlopen(request, timeout=ENDPOINT_TIMEOUT_S) as answer:
            return Finding("model", "ok", f"{address} answers {answer.status}")
    except urllib.error.HTTPError as error:
        action = "check OPENAI_API_KEY" if error.code in (401, 403) else "check OPENAI_BASE_URL"
        return Finding("model", "missing", f"{address} answers {error.code}", action)
    except (OSError, ValueError) as error:
        return Finding("model", "missing", f"{address}: {error}", "check OPENAI_BASE_URL")


def _embedder() -> Finding:
    return Finding("embedder", "ok", f"{MemoryConfig().embedder}, needs no download")


def _disk() -> Finding:
    places: dict[str, Callable[[], Path]] = {
        "runs": Path.cwd,
        "memory": lambda: memory_folder(MemoryConfig()),
    }
    free: dict[str, float] = {}
    for name, place in places.items():
        folder = place()
        while not folder.exists():
            folder = folder.parent
        free[name] = shutil.disk_usage(folder).free / GIB
    detail = ", ".join(f"{name} {value:.1f} GiB free" for name, value in free.items())
    if min(free.values()) < LOW_DISK_GIB:
        return Finding("disk", "missing", detail, "free some space, or use --runs-dir")
    return Finding("disk", "ok", detail)
