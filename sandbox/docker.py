"""Sandboxes as Docker containers."""

import asyncio
import os
import secrets
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any, Literal, cast

import docker
import docker.errors
from docker.types import DeviceRequest, LogConfig, Ulimit
from docker.types import Mount as DockerMount

from harness.errors import SandboxUnavailableError
from harness.sandbox import files
from harness.sandbox.base import MIB, Capabilities, Limits, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.docker_client import connect, host_address, translated
from harness.sandbox.docker_container import Container
from harness.sandbox.docker_engine import (
    capabilities,
    check_runtime,
    is_podman,
    mounts_work,
    own_threads,
    security_options,
    shares_kernel,
)
from harness.sandbox.docker_sandbox import DockerSandbox
from harness.sandbox.docker_upload import upload, upload_bytes
from harness.sandbox.liveness import identity, is_dead
from harness.sandbox.uids import agent_owner
from harness.sandbox.workspace import in_thread

Transport = Literal["bind", "tar"]

SANDBOX_LABEL = "harness.sandbox"
OWNER_LABEL = "harness.owner"
RUN_LABEL = "harness.run"

_CONNECTIONS = 128
_ANSWER_S = 5
_REMOVALS = 8
_SHARED_MEMORY_BYTES = 64 * MIB
_OPEN_FILES = 8192
# What is ours in a container: the init, the `sleep`, the guard of a command.
_OWN_PROCESSES = 3
# Of all containers together: the kernel counts a uid's processes.
_PODMAN_PROCESSES = 32_768


class DockerProvider:
    """Makes one container per sandbox.

    Commands run as a user other than root, without capabilities and without a way to gain any, on
    a read-only root; what they may write is `/tmp` (in memory) and the writable mounts. Docker is
    no boundary against exploits of the kernel.

    `executor` needs a thread for each command that runs at once, and some for all else.
    """

    def __init__(self, config: SandboxConfig, executor: Executor) -> None:
        self._config = config
        self._executor = executor
        self._address = host_address(config.docker_host)
        self._owner = agent_owner()
        self._client: docker.DockerClient | None = None
        self._info: Mapping[str, Any] = {}
        self._version: Mapping[str, Any] = {}
        self._security: list[str] = []
        self._opening = asyncio.Lock()
        # More at once only make each other slow.
        self._starts = asyncio.Semaphore(2 * (os.cpu_count() or 1))
        self._removals: set[asyncio.Task[None]] = set()
        self._leftover: set[str] = set()
        """Containers that could not be removed, or are being removed."""

    @property
    def owner(self) -> tuple[int, int] | None:
        return self._owner

    @property
    def shares_files(self) -> bool:
        return self.transport == "bind"

    @property
    def transport(self) -> Transport:
        """How files get into containers: mounted folders, or streams where nothing can be mounted.

        Known once `describe` or `create` has been called.
        """
        if self._config.transport != "auto":
            return self._config.transport
        return "bind" if mounts_work(self._address, self._info) else "tar"

    async def describe(self) -> Capabilities:
        client = await self._connected()
        return await in_thread(self._executor, self._describe, client)

    def _describe(self, client: docker.DockerClient) -> Capabilities:
        image = self._config.image
        with translated("asking the Docker daemon"):
            try:
                client.images.get(image)
            except docker.errors.ImageNotFound as error:
                raise SandboxUnavailableError(
                    f"the image {image} is missing; build it: harness image build"
                ) from error
        runtime = f", runtime {self._config.runtime}" if self._config.runtime else ""
        bound = self.transport == "bind"
        return capabilities(
            self._info,
            self._version,
            runtime=self._config.runtime,
            seccomp=self._config.seccomp == "harness",
            separate_user=self._owner is not None or not bound,
            detail=f"at {self._address}, image {image}, files by "
            f"{'mounted folders' if bound else 'streams'}{runtime}",
        )

    async def _connected(self) -> docker.DockerClient:
        async with self._opening:
            if self._client is None:
                self._client = await in_thread(self._executor, self._connect)
            return self._client

    def _connect(self) -> docker.DockerClient:
        client = connect(self._address, connections=_CONNECTIONS)
        with translated("asking the Docker daemon"):
            self._info, self._version = client.info(), client.version()
        check_runtime(self._config.runtime, self._info)
        seccomp = self._config.seccomp == "harness"
        self._security = security_options(self._version, self._address, seccomp=seccomp)
        return client

    async def create(self, spec: SandboxSpec) -> DockerSandbox:
        client = await self._connected()
        async with self._starts:
            # A task of its own: a container that a cancelled caller does not get is removed.
            task = asyncio.create_task(in_thread(self._executor, self._start, client, spec))
            try:
                container = await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait([task])
                if not task.cancelled() and task.exception() is None:
                    await self._remove(client, task.result())
                raise
        # The daemon answers: what it could not remove while it was away can go.
        for left in [*self._leftover]:
            if len(self._removals) < _REMOVALS:
                self._begin_removal(client, left)
        writable = [mount for mount in spec.mounts if not mount.read_only]
        bound = self.transport == "bind"
        return DockerSandbox(
            container,
            spec.limits,
            workdir=spec.workdir,
            targets=frozenset(mount.target for mount in spec.mounts),
            folders=[mount.source for mount in writable] if bound else [],
            host_workdir=next(
                (mount.source for mount in writable if bound and mount.target == spec.workdir), None
            ),
            owner=self._owner,
            executor=self._executor,
            remove=lambda: self._remove(client, container),
        )

    def _start(self, client: docker.DockerClient, spec: SandboxSpec) -> Container:
        """Create and start a container; what cannot be mounted is copied into it."""
        writable = [mount for mount in spec.mounts if not mount.read_only]
        bound = self.transport == "bind"
        if bound and self._owner is not None:
            for mount in writable:
                files.give_to(mount.source, self._owner)
        image = spec.image or self._config.image
        copied = 0 if bound else sum(upload_bytes(m.source) for m in spec.mounts if m.read_only)
        # A daemon that is killed in the middle may have made it all the same: its name is known.
        name = f"harness-{secrets.token_hex(8)}"
        try:
            with translated(f"starting a container from {image}"):
                created = cast(
                    "dict[str, Any]",
                    client.api.create_container(
                        image,
                        name=name,
                        entrypoint=["sleep"],
                        command=["infinity"],
                        user="0:0",
                        working_dir="/",
                        hostname="sandbox",
                        environment={**_environment(spec.limits), **spec.env},
                        labels={
                            **spec.labels,
                            SANDBOX_LABEL: spec.purpose,
                            OWNER_LABEL: identity(),
                        },
                        host_config=self._host_config(client, spec, copied),
                    ),
                )
                client.api.start(name)
                local = bound and shares_kernel(self._config.runtime)
                container = Container(
                    client, self._address, str(created["Id"]), self._user(), local=local
                )
                for mount in () if bound else spec.mounts:
                    upload(container, mount)
        except BaseException:
            self._give_up(client, name)
            raise
        return container

    def _give_up(self, client: docker.DockerClient, name: str) -> None:
        """Remove a container that may be there, now or with the next start."""
        self._leftover.add(name)
        try:
            _remove_container(client, name)
        except SandboxUnavailableError:
            return
        self._leftover.discard(name)

    def _user(self) -> str:
        uid, gid = self._owner or (os.getuid(), os.getgid())
        return f"{uid}:{gid}"

    def _host_config(
        self, client: docker.DockerClient, spec: SandboxSpec, copied_bytes: int
    ) -> Mapping[str, Any]:
        limits = spec.limits
        memory_bytes = limits.memory_bytes + copied_bytes
        bound = self.transport == "bind"
        podman = is_podman(self._version)
        config = client.api.create_host_config(
            init=True,
            runtime=self._config.runtime,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=self._security,
            network_mode=spec.network,
            mem_limit=memory_bytes,
            memswap_limit=memory_bytes,
            nano_cpus=int(min(limits.cpus, float(self._info.get("NCPU") or limits.cpus)) * 1e9),
            pids_limit=limits.pids + _OWN_PROCESSES + own_threads(self._config.runtime),
            shm_size=min(limits.scratch_bytes, _SHARED_MEMORY_BYTES),
            tmpfs=self._tmpfs(spec),
            ulimits=[
                Ulimit(name="nofile", soft=_OPEN_FILES, hard=_OPEN_FILES),
                Ulimit(name="fsize", soft=limits.file_bytes, hard=limits.file_bytes),
                Ulimit(name="core", soft=0, hard=0),
                # Podman's own default may be above what it is allowed itself.
                *(
                    [Ulimit(name="nproc", soft=_PODMAN_PROCESSES, hard=_PODMAN_PROCESSES)]
                    if podman
                    else []
                ),
            ],
            log_config=LogConfig(type=LogConfig.types.NONE, config={}),
            device_requests=[DeviceRequest(device_ids=list(spec.gpus), capabilities=[["gpu"]])]
            if spec.gpus
            else None,
            mounts=[
                DockerMount(
                    mount.target,
                    os.fspath(mount.source.resolve()),
                    type="bind",
                    read_only=mount.read_only,
                    propagation="rprivate",
                )
                for mount in spec.mounts
                if bound
            ],
        )
        return cast("Mapping[str, Any]", config)

    def _tmpfs(self, spec: SandboxSpec) -> dict[str, str]:
        """Folders in memory: scratch, and whatever cannot be mounted."""
        limits = spec.limits
        user, group = self._user().split(":")
        common = "rw,nosuid,nodev,exec"
        # Podman knows no bound on the number of files in memory.
        inodes = "" if is_podman(self._version) else f",nr_inodes={limits.inodes}"
        found = {"/tmp": f"{common},mode=1777,size={limits.scratch_bytes}{inodes}"}
        own = f"{common},mode=0755,uid={user},gid={group}"
        own += f",size={limits.disk_bytes}{inodes}"
        if self.transport == "tar":
            for mount in spec.mounts:
                found[mount.target] = f"{common},mode=0755" if mount.read_only else own
        if spec.workdir not in {mount.target for mount in spec.mounts}:
            found[spec.workdir] = own
        return found

    # -- taking them away --

    async def _remove(self, client: docker.DockerClient, container: Container) -> None:
        """Remove a container; one at rest in the background."""
        removal = self._begin_removal(client, container.id)
        if not container.at_rest():
            await asyncio.shield(removal)

    def _begin_removal(
        self, client: docker.DockerClient, container_id: str
    ) -> "asyncio.Task[None]":
        removal = asyncio.create_task(self._take_away(client, container_id))
        self._removals.add(removal)
        removal.add_done_callback(self._removed)
        return removal

    def _removed(self, removal: "asyncio.Task[None]") -> None:
        if not removal.cancelled():
            removal.exception()  # a container that stays is removed later
        self._removals.discard(removal)

    async def _take_away(self, client: docker.DockerClient, container_id: str) -> None:
        """Remove a container, now or, where the daemon does not answer, with the next start."""
        self._leftover.add(container_id)
        await in_thread(self._executor, _remove_container, client, container_id)
        self._leftover.discard(container_id)

    async def answers(self) -> bool:
        """Whether the daemon does, within seconds."""
        try:
            client = await in_thread(
                self._executor, partial(connect, self._address, timeout_s=_ANSWER_S)
            )
        except SandboxUnavailableError:
            return False
        await in_thread(self._executor, client.close)
        return True

    async def reap(self, run: str | None = None) -> int:
        client = await self._connected()
        return await in_thread(self._executor, self._reap, client, run)

    def _reap(self, client: docker.DockerClient, run: str | None) -> int:
        labels = [SANDBOX_LABEL] if run is None else [SANDBOX_LABEL, f"{RUN_LABEL}={run}"]
        with translated("listing containers"):
            found = cast(
                "list[dict[str, Any]]", client.api.containers(all=True, filters={"label": labels})
            )
            removed = 0
            for summary in found:
                owner = str(cast("dict[str, str]", summary["Labels"]).get(OWNER_LABEL, ""))
                if run is not None or is_dead(owner):
                    _remove_container(client, str(summary["Id"]))
                    removed += 1
        return removed

    async def close(self) -> None:
        while self._removals:
            await asyncio.wait(self._removals)
        client, self._client = self._client, None
        if client is not None:
            await in_thread(self._executor, client.close)


def _remove_container(client: docker.DockerClient, container_id: str) -> None:
    with translated(f"removing container {container_id[:12]}"):
        try:
            client.api.remove_container(container_id, force=True, v=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            if "already in progress" not in str(error):
                raise


def _environment(limits: Limits) -> dict[str, str]:
    identity_of = {"NAME": "agent", "EMAIL": "agent@localhost"}
    return {
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "USER": "agent",
        "LOGNAME": "agent",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(max(1, int(limits.cpus))),
        **{f"GIT_AUTHOR_{key}": value for key, value in identity_of.items()},
        **{f"GIT_COMMITTER_{key}": value for key, value in identity_of.items()},
    }
