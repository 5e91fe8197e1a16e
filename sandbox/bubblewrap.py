"""Commands under bubblewrap: no network, own processes and mounts, no daemon.

As an ordinary user bubblewrap makes a user namespace. As root it makes none: the command is started
with just enough privileges to give up root, then runs under the agent's uid with none.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import PurePosixPath
from typing import ClassVar

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import Capabilities, Guarantee, Sandbox, SandboxSpec
from harness.sandbox.devices import device_files
from harness.sandbox.layout import Layout, PrivateFolders, Tmpfs, own_layout
from harness.sandbox.local import LocalProvider, Prepare, make_request
from harness.sandbox.shim.request import Request
from harness.sandbox.uids import AGENT_UID

_ISOLATED = (
    Guarantee.NETWORK,
    Guarantee.HOST_FILES,
    Guarantee.READ_ONLY,
    Guarantee.USER,
    Guarantee.PROCESSES,
)
_OPTIONS_FD, _STATUS_FD = "100", "101"
"""Where the shim hands bubblewrap its options and hears from it that the command really ran."""


class BubblewrapProvider(LocalProvider):
    """Implements `SandboxProvider`."""

    _tried: ClassVar[bool] = False
    """Whether it was found to work, in this process."""

    async def describe(self) -> Capabilities:
        await self._try()
        enforced = (*self._guarantees, *_ISOLATED)
        kind = f"uid {AGENT_UID}" if self.owner else "a user namespace"
        return Capabilities(
            name="bubblewrap",
            isolates_model_code=True,
            enforced=enforced,
            not_enforced=tuple(word for word in Guarantee if word not in enforced),
            detail=f"{_program()}, {kind}, no network, own processes and mounts",
        )

    async def create(self, spec: SandboxSpec) -> Sandbox:
        await self._try()
        return await self._open(_arrange, spec, self.owner)

    async def _try(self) -> None:
        """Some kernels and containers have bubblewrap and forbid what it does: run it once."""
        if self._tried:
            return
        if sys.platform != "linux" or not _program():
            raise SandboxUnavailableError("bwrap is not installed: apt install bubblewrap")
        if os.getuid() == 0 and not _setpriv():
            raise SandboxUnavailableError("setpriv is not installed: apt install util-linux")
        if refusal := await self._works(_arrange):
            raise SandboxUnavailableError(
                f"bwrap does not work here ({refusal}): allow user namespaces "
                "(kernel.unprivileged_userns_clone, apparmor_restrict_unprivileged_userns), "
                "or use Docker"
            )
        BubblewrapProvider._tried = True


def _program() -> str | None:
    return shutil.which("bwrap")


def _setpriv() -> str | None:
    return shutil.which("setpriv", path="/usr/bin:/bin")


def _arrange(spec: SandboxSpec, private: PrivateFolders) -> tuple[Layout, Prepare]:
    layout = own_layout(spec, private)
    return layout, partial(_prepare, spec, private, [*_options(spec, layout)])


def _prepare(
    spec: SandboxSpec,
    private: PrivateFolders,
    options: list[str],
    argv: Sequence[str],
    env: dict[str, str],
    cwd: str,
    timeout_s: float,
) -> Request:
    variables = [word for name, value in env.items() for word in ("--setenv", name, value)]
    # The shell gives an unknown program its exit code, which bubblewrap does not.
    inner = [*_drop(), "/bin/sh", "-c", 'cd -- "$0" || exit 126; exec "$@"', cwd, *argv]
    words = [str(_program()), "--args", _OPTIONS_FD, "--", *inner]
    request = make_request(spec, private, words, {}, "/", timeout_s)
    # Not as arguments: commands can read those of bubblewrap, and they tell paths of the host.
    request["options"] = [*options, *variables]
    return request


def _drop() -> list[str]:
    """Words that give up root, for a command started as root."""
    if os.getuid() != 0:
        return []
    ids = [f"--reuid={AGENT_UID}", f"--regid={AGENT_UID}", "--clear-groups"]
    return [str(_setpriv()), *ids, "--inh-caps=-all", "--bounding-set=-all", "--"]


def _options(spec: SandboxSpec, layout: Layout) -> list[str]:
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]
    options += ["--new-session", "--hostname", "sandbox", "--clearenv", "--cap-drop", "ALL"]
    options += ["--json-status-fd", _STATUS_FD]
    if spec.network == "none":
        options.append("--unshare-net")
    if os.getuid() == 0:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            options += ["--cap-add", capability]
    else:
        options += ["--unshare-user", *_no_nested_namespaces()]
    options += _file_system(spec, layout)
    return options


def _file_system(spec: SandboxSpec, layout: Layout) -> list[str]:
    options = ["--proc", "/proc", "--dev", "/dev"]
    given, _ = device_files(spec.gpus)
    for device in given:
        options += ["--dev-bind-try", device, device]
    for target, destination in layout.links:
        options += ["--symlink", destination, target]
    made: set[str] = {"/dev"}
    for step in layout.steps:
        # Folders that lead to a target; bubblewrap would make them for their owner only.
        for parent in reversed(PurePosixPath(step.target).parents[:-1]):
            if str(parent) not in made:
                made.add(str(parent))
                options += ["--perms", "0755", "--dir", str(parent)]
        made.add(step.target)
        if isinstance(step, Tmpfs):
            options += ["--perms", f"{step.mode:o}", "--size", str(step.size_bytes)]
            options += ["--tmpfs", step.target]
        else:
            options += ["--ro-bind" if step.read_only else "--bind", str(step.source), step.target]
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/"]


@cache
def _no_nested_namespaces() -> tuple[str, ...]:
    """Forbids user namespaces inside, which widen what of the kernel can be attacked; since 0.8."""
    words = [str(_program()), "--help"]
    text = subprocess.run(words, capture_output=True, check=False).stdout
    return ("--disable-userns",) if b"--disable-userns" in text else ()
