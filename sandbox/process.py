"""Commands as plain processes of this machine: always there, isolates little.

As root, commands get a uid of their own and, where the kernel allows it, a mount and a network
namespace that show them nothing but the system's programs, their interpreter and their mounts. As
an ordinary user they run under that user's uid and see what the user sees.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import Capabilities, Guarantee, Sandbox, SandboxSpec
from harness.sandbox.devices import device_files
from harness.sandbox.files import Owner
from harness.sandbox.interpreter import Interpreter
from harness.sandbox.layout import (
    Layout,
    PrivateFolders,
    Step,
    Tmpfs,
    host_layout,
    own_layout,
)
from harness.sandbox.local import LocalProvider, Prepare, make_request
from harness.sandbox.shim.request import Request, View
from harness.sandbox.uids import AGENT_UID, own_uid

_BY_NAMESPACES = (Guarantee.NETWORK, Guarantee.HOST_FILES, Guarantee.READ_ONLY, Guarantee.USER)


class ProcessProvider(LocalProvider):
    """Implements `SandboxProvider`; Linux only."""

    _refusal: ClassVar[str | None] = None
    """Why commands cannot have namespaces; empty: they can; None: not tried yet in this process."""

    async def describe(self) -> Capabilities:
        refusal = await self._namespaces_refused()
        enforced, detail = self._guarantees, "commands run under your own uid, with your network"
        if not refusal:
            enforced = (*enforced, *_BY_NAMESPACES)
            detail = f"uids from {AGENT_UID}, own mounts, no network; other processes can be seen"
        elif self.owner is not None:
            detail = (
                f"no namespaces ({refusal}): the host's files and network can be seen; commands "
                f"run as uid {AGENT_UID} where it reaches interpreter and folders, else as root"
            )
        return Capabilities(
            name="process",
            isolates_model_code=False,
            enforced=enforced,
            not_enforced=tuple(word for word in Guarantee if word not in enforced),
            detail=detail,
        )

    async def create(self, spec: SandboxSpec) -> Sandbox:
        if not await self._namespaces_refused():
            return await self._open(_with_namespaces, spec, own_uid(spec.purpose))
        if self.owner is not None and _reachable(spec):
            return await self._open(_with_uid, spec, own_uid(spec.purpose))
        return await self._open(_plain, spec, None)

    async def _namespaces_refused(self) -> str:
        if sys.platform != "linux":
            raise SandboxUnavailableError("the process sandbox needs Linux: install Docker")
        if self._refusal is None:
            refusal = "not root" if os.getuid() else await self._works(_with_namespaces)
            ProcessProvider._refusal = refusal
            return refusal
        return self._refusal


def _plain(spec: SandboxSpec, private: PrivateFolders) -> tuple[Layout, Prepare]:
    def prepare(argv: Sequence[str], env: dict[str, str], cwd: str, timeout_s: float) -> Request:
        return make_request(spec, private, argv, env, cwd, timeout_s)

    return host_layout(spec, private), prepare


def _with_uid(spec: SandboxSpec, private: PrivateFolders) -> tuple[Layout, Prepare]:
    def prepare(argv: Sequence[str], env: dict[str, str], cwd: str, timeout_s: float) -> Request:
        request = make_request(spec, private, argv, env, cwd, timeout_s)
        request["uid"], request["gid"] = _owner(private)
        return request

    return host_layout(spec, private), prepare


def _with_namespaces(spec: SandboxSpec, private: PrivateFolders) -> tuple[Layout, Prepare]:
    layout = own_layout(spec, private)
    _, hidden = device_files(spec.gpus)
    view: View = {
        "root": str(private.view),
        "links": list(layout.links),
        "mounts": [
            ("/proc", "/proc", "rw"),
            ("/dev", "/dev", "rw"),
            *(("/dev/null", device, "rw") for device in hidden),
            *map(_mount, layout.steps),
        ],
        "network": spec.network == "host",
    }

    def prepare(argv: Sequence[str], env: dict[str, str], cwd: str, timeout_s: float) -> Request:
        request = make_request(spec, private, argv, env, cwd, timeout_s)
        request["uid"], request["gid"] = _owner(private)
        request["view"] = view
        return request

    return layout, prepare


def _owner(private: PrivateFolders) -> Owner:
    assert private.owner is not None, "only root's sandboxes change their uid"
    return private.owner


def _mount(step: Step) -> tuple[str | None, str, str]:
    if isinstance(step, Tmpfs):
        return None, step.target, f"mode={step.mode:o},size={step.size_bytes}"
    return str(step.source), step.target, "ro" if step.read_only else "rw"


def _reachable(spec: SandboxSpec) -> bool:
    """Whether a uid without privileges gets to all that its commands need."""
    folders = [*Interpreter.find(spec.python).prefixes, Path(tempfile.gettempdir())]
    # A mount's own permissions do not matter: it is given to the uid, or its files are what counts.
    for path in [*folders, *(mount.source.absolute().parent for mount in spec.mounts)]:
        if not all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents)):
            return False
    return True
