"""Commands as plain processes of this machine: always there, isolates little.

As root, commands get a uid of their own and, where the kernel allows it, a mount and a network
namespace that show them nothing but the system's programs, their interpreter and their mounts. As
an ordinary user they run under that user's uid and see what the user sees.
"""

import asyncio
import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import Capabilities, Guarantee, Limits, Sandbox, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.files import Owner, remove_tree
from harness.sandbox.layout import (
    AGENT_UID,
    Interpreter,
    Layout,
    PrivateFolders,
    host_layout,
    own_layout,
)
from harness.sandbox.local import LocalSandbox, make_private, reap_private, watched_folders
from harness.sandbox.shim.request import Request, View

_WATCHED = (
    Guarantee.MEMORY,
    Guarantee.PIDS,
    Guarantee.DISK,
    Guarantee.INODES,
    Guarantee.FILE_SIZE,
    Guarantee.SCRATCH,
)
_BY_NAMESPACES = (Guarantee.NETWORK, Guarantee.HOST_FILES, Guarantee.READ_ONLY)


class ProcessProvider:
    """Implements `SandboxProvider`; Linux only."""

    def __init__(self, config: SandboxConfig, executor: Executor) -> None:
        self._config = config
        self._executor = executor
        self._live: set[Path] = set()
        """Folders of this provider that `reap` leaves alone."""
        self._namespaces: bool | None = None

    @property
    def owner(self) -> Owner | None:
        return (AGENT_UID, AGENT_UID) if os.getuid() == 0 else None

    async def describe(self) -> Capabilities:
        namespaces = await self._has_namespaces()
        enforced, detail = list(_WATCHED), "commands run under your own uid, with your network"
        if namespaces:
            enforced += [*_BY_NAMESPACES, Guarantee.USER]
            detail = f"uid {AGENT_UID}, own mounts, no network; other processes can be seen"
        elif os.getuid() == 0:
            detail = (
                "the kernel refuses namespaces to this root: the host's files and network can be "
                f"seen; uid {AGENT_UID} where it reaches the interpreter and the folders, else root"
            )
        return Capabilities(
            name="process",
            isolates_model_code=False,
            enforced=tuple(enforced),
            not_enforced=tuple(word for word in Guarantee if word not in enforced),
            detail=detail,
        )

    async def create(self, spec: SandboxSpec) -> Sandbox:
        namespaces = await self._has_namespaces()
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._create, spec, namespaces
        )

    def _create(self, spec: SandboxSpec, namespaces: bool) -> LocalSandbox:
        owner = self.owner if namespaces or _reachable(spec) else None
        private = make_private(spec, owner)
        try:
            layout = (own_layout if namespaces else host_layout)(spec, private)
        except BaseException:
            remove_tree(private.root)
            raise
        view = _view(spec, layout, private) if namespaces else None
        prepare = partial(_request, spec, private, owner, view)
        sandbox = LocalSandbox(spec, layout, private, owner, prepare, self._executor)
        self._live.add(private.root)
        return sandbox

    async def reap(self, run: str | None = None) -> int:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, reap_private, run, frozenset(self._live)
        )

    async def close(self) -> None:
        """Nothing is held."""

    async def _has_namespaces(self) -> bool:
        """Whether commands can be given their own mounts and network; found by trying, once."""
        if sys.platform != "linux":
            raise SandboxUnavailableError("the process sandbox needs Linux: install Docker")
        if self._namespaces is None:
            self._namespaces = os.getuid() == 0 and await self._try_namespaces()
        return self._namespaces

    async def _try_namespaces(self) -> bool:
        spec = SandboxSpec(purpose="judge", mounts=(), limits=Limits())
        sandbox = await asyncio.get_running_loop().run_in_executor(
            self._executor, self._create, spec, True
        )
        try:
            return (await sandbox.exec(["python3", "-c", ""], timeout_s=60)).ok
        except SandboxUnavailableError:
            return False
        finally:
            await sandbox.close()


def _reachable(spec: SandboxSpec) -> bool:
    """Whether a uid without privileges gets to all that its commands need."""
    folders = [*Interpreter.find(spec.python).prefixes, Path(tempfile.gettempdir())]
    # A mount's own permissions do not matter: its folder is given to the uid, or read through it.
    for path in [*folders, *(mount.source.absolute().parent for mount in spec.mounts)]:
        if not all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents)):
            return False
    return True


def _view(spec: SandboxSpec, layout: Layout, private: PrivateFolders) -> View:
    binds = [(str(bind.source), bind.target, bind.read_only) for bind in layout.binds]
    return {
        "root": str(private.view),
        "binds": [("/proc", "/proc", False), ("/dev", "/dev", False), *binds],
        "links": list(layout.links),
        "tmpfs": [("/dev/shm", spec.limits.scratch_bytes)],
        "network": spec.network == "host",
    }


def _request(
    spec: SandboxSpec,
    private: PrivateFolders,
    owner: Owner | None,
    view: View | None,
    argv: Sequence[str],
    env: dict[str, str],
    cwd: str,
    timeout_s: float,
) -> Request:
    return {
        "argv": list(argv),
        "env": env,
        "cwd": cwd,
        "timeout_s": timeout_s,
        "uid": owner[0] if owner else None,
        "gid": owner[1] if owner else None,
        "view": view,
        "status": False,
        "memory_bytes": spec.limits.memory_bytes,
        "pids": spec.limits.pids,
        "file_bytes": spec.limits.file_bytes,
        "watched": watched_folders(spec, private),
    }
