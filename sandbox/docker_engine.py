"""What a Docker daemon says of itself, and what follows for the sandboxes it makes."""

import hashlib
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import platformdirs

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import Capabilities, Guarantee
from harness.sandbox.seccomp import docker_profile


@dataclass(frozen=True, slots=True)
class Hole:
    """A way out of containers that is known, and where it was closed.

    `fixed` has the first version without it of each branch that was corrected, in ascending order.
    """

    component: str
    name: str
    fixed: tuple[str, ...]


HOLES_AS_OF = "2026-11"
HOLES = (
    Hole("runc", "CVE-2019-5736", ("1.0.0",)),
    Hole("runc", "CVE-2021-30465", ("1.0.0",)),
    Hole("runc", "CVE-2024-21626", ("1.1.12",)),
    Hole("runc", "CVE-2025-31133", ("1.2.8", "1.3.3", "1.4.0")),
    Hole("runc", "CVE-2025-52565", ("1.2.8", "1.3.3", "1.4.0")),
    Hole("runc", "CVE-2025-52881", ("1.2.8", "1.3.3", "1.4.0")),
    Hole("containerd", "CVE-2020-15257", ("1.3.9", "1.4.3")),
    Hole("Docker Desktop", "CVE-2025-9074", ("4.44.3",)),
)
"""Sources: the advisories of opencontainers/runc, containerd and Docker Desktop's release notes."""

_KERNEL_THREADS = 1024

Version = tuple[int, int, int]


def parse_version(text: str) -> Version | None:
    """`1.1.5+ds1`, `v27.0.1`, `1.0.0-rc93` as numbers; None where there are none.

    A release candidate counts as the version before it.
    """
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?(-rc|~rc)?", text.strip())
    if found is None:
        return None
    major, minor, patch = (int(each or 0) for each in found.groups()[:3])
    if found[4] is None:
        return major, minor, patch
    return (major, minor, patch - 1) if patch else (major, minor - 1, 10**6)


def affected(version: Version, fixed: tuple[str, ...]) -> bool:
    """Whether a version is older than what was corrected in its branch, or than all branches."""
    bounds = [bound for each in fixed if (bound := parse_version(each)) is not None]
    if version >= bounds[-1]:
        return False
    return not any(bound[:2] == version[:2] and version >= bound for bound in bounds)


def components(version: Mapping[str, Any]) -> dict[str, str]:
    """Name and version of each part of an engine, from the answer to `docker version`."""
    parts = cast("list[Mapping[str, Any]]", version.get("Components") or [])
    found = {str(part.get("Name")): str(part.get("Version")) for part in parts}
    name = str(cast("Mapping[str, Any]", version.get("Platform") or {}).get("Name") or "")
    desktop = re.match(r"(Docker Desktop) v?(\d[\w.]*)", name)
    return {**found, desktop[1]: desktop[2]} if desktop else found


def is_podman(version: Mapping[str, Any]) -> bool:
    """Whether it is Podman's service, which answers as Docker would."""
    return "Podman Engine" in components(version)


def warnings(version: Mapping[str, Any]) -> tuple[str, ...]:
    """One line for each part of an engine with holes that are known."""
    told: list[str] = []
    for name, text in components(version).items():
        number = parse_version(text)
        found = [
            hole.name
            for hole in HOLES
            if hole.component == name and number is not None and affected(number, hole.fixed)
        ]
        if found:
            told.append(
                f"{name} {text} has known ways out of containers ({', '.join(found)}), unless its "
                "packager corrected it under the old number: update it"
            )
    return tuple(told)


def check_runtime(runtime: str | None, info: Mapping[str, Any]) -> None:
    """See that the daemon has a runtime of that name.

    Raises:
        SandboxUnavailableError: It has not; names those it has.
    """
    known = sorted(cast("Mapping[str, Any]", info.get("Runtimes") or {}))
    if runtime is not None and known and runtime not in known:
        raise SandboxUnavailableError(
            f"sandbox.runtime: the Docker daemon has no runtime {runtime!r}, only "
            f"{', '.join(known)}; register it in /etc/docker/daemon.json"
        )


def shares_kernel(runtime: str | None) -> bool:
    """Whether processes of containers are processes of the host: not so in gVisor and Kata."""
    return runtime is None or not any(name in runtime for name in ("runsc", "gvisor", "kata"))


def own_threads(runtime: str | None) -> int:
    """Threads that a runtime with a kernel of its own may have beside those of its commands."""
    return 0 if shares_kernel(runtime) else _KERNEL_THREADS


def lacking(
    info: Mapping[str, Any], *, runtime: str | None, seccomp: bool, separate_user: bool
) -> set[Guarantee]:
    """What a daemon cannot enforce.

    Args:
        seccomp: Whether containers get the harness's own profile.
        separate_user: Whether commands run under a uid that is not the harness's.
    """
    enforced = {
        # A kernel of its own is ended as a whole when the host's bound is reached.
        Guarantee.MEMORY: bool(info.get("MemoryLimit", True)) and shares_kernel(runtime),
        # Where the host sees a kernel's threads instead of processes, the bound is a loose one.
        Guarantee.PIDS: bool(info.get("PidsLimit", True)) and shares_kernel(runtime),
        Guarantee.CPUS: bool(info.get("CpuCfsQuota", True)),
        # The profile is for the host's kernel, which commands in another one never call.
        Guarantee.SYSTEM_CALLS: shares_kernel(runtime) and seccomp and "seccomp" in _security(info),
        # As an ordinary user commands have that user's own uid, though in namespaces apart.
        Guarantee.USER: separate_user,
    }
    return {word for word, holds in enforced.items() if not holds}


def mounts_work(address: str, info: Mapping[str, Any]) -> bool:
    """Whether the daemon sees this machine's folders, with the same uids."""
    if not address.startswith("unix://"):
        return False
    if _security(info) & {"rootless", "userns"}:
        return False
    # Docker Desktop shares folders with its virtual machine. Elsewhere, a daemon of another name
    # is reached through a forwarded socket or from within a container.
    return platform.system() == "Darwin" or info.get("Name") == platform.node()


def capabilities(
    info: Mapping[str, Any],
    version: Mapping[str, Any],
    *,
    runtime: str | None,
    seccomp: bool,
    separate_user: bool,
    detail: str,
) -> Capabilities:
    """What containers of an engine enforce; `detail` is what else there is to say."""
    lacks = lacking(info, runtime=runtime, seccomp=seccomp, separate_user=separate_user)
    name = "Podman" if is_podman(version) else "Docker"
    return Capabilities(
        name="docker",
        isolates_model_code=True,
        enforced=tuple(word for word in Guarantee if word not in lacks),
        not_enforced=tuple(word for word in Guarantee if word in lacks),
        detail=f"{name} {version.get('Version', '?')} {detail}",
        warnings=warnings(version),
    )


def security_options(version: Mapping[str, Any], address: str, *, seccomp: bool) -> list[str]:
    """`security_opt` of every container; `seccomp`: with the harness's own profile."""
    options = ["no-new-privileges:true"]
    if not seccomp:
        return options
    if not is_podman(version):
        return [*options, f"seccomp={docker_profile()}"]
    if not address.startswith("unix://"):
        raise SandboxUnavailableError(
            "Podman reads the seccomp profile from its own machine's disk: set "
            "sandbox.seccomp=engine for a service on another machine"
        )
    return [*options, f"seccomp={_profile_file()}"]


def _profile_file() -> Path:
    """The profile in a file that nobody else can write."""
    folder = platformdirs.user_cache_path("harness") / "seccomp"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    profile = docker_profile()
    path = folder / f"{hashlib.sha256(profile.encode()).hexdigest()[:16]}.json"
    if not path.exists() or path.read_text("utf-8") != profile:
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(profile, encoding="utf-8")
        draft.rename(path)
    return path


def _security(info: Mapping[str, Any]) -> set[str]:
    """Names of the security options: of `name=seccomp,profile=default`, or `seccomp` (Podman)."""
    options = cast("list[str]", info.get("SecurityOptions") or [])
    return {option.split(",")[0].removeprefix("name=") for option in options}
