"""A container and what is done to it, each step bounded in time. Everything here blocks."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import docker
import docker.errors

from harness.errors import SandboxUnavailableError
from harness.sandbox.docker_attach import Bounds, Demultiplexer, ExecStream
from harness.sandbox.docker_cgroup import READ_INSIDE, Counters, HostCgroup, parse_counters
from harness.sandbox.docker_client import API_TIMEOUT_S, translated

# The init process and the `sleep` that keeps the container alive.
_AT_REST = 2
_STATE_TIMEOUT_S = 15.0
_SWEEP_TIMEOUT_S = 15.0
_CANNOT_START = 126

# `kill -9 -1` spares the caller and the processes of root, init among them; no fork can slip
# through between. Then nothing but those two and this shell may be there.
_SWEEP = """
kill -9 -1 2>/dev/null
tries=0
while set -- /proc/[0-9]*; [ $# -gt 3 ]; do
    tries=$((tries + 1)); [ $tries -gt 100 ] && exit 1
    sleep 0.02
    kill -9 -1 2>/dev/null
done
"""
# What one of several commands left is told by its environment, which children inherit. One that
# clears it is ended with the last of them.
_KILL_MARKED = """
tries=0
while files=$(grep -lsz "^$1\\$" /proc/[0-9]*/environ); [ -n "$files" ]; do
    for file in $files; do
        process=${file#/proc/}
        kill -9 "${process%/environ}" 2>/dev/null
    done
    tries=$((tries + 1)); [ $tries -gt 100 ] && exit 1
done
exit 0
"""


class Container:
    """A running container whose commands run as `user` ("uid:gid").

    `local`: its processes are this machine's, with the same uids.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        address: str,
        container_id: str,
        user: str,
        *,
        local: bool,
    ) -> None:
        self._api = client.api
        self._address = address
        self.id = container_id
        self.short_id = container_id[:12]
        self._user = user
        self._uid = int(user.partition(":")[0])
        pid = int(self._state().get("Pid") or 0)
        self._cgroup = HostCgroup.find(container_id, pid) if local else None
        self._inside = Counters()

    # -- commands --

    def exec_create(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | None = None,
        stdin: bool = False,
        user: str | None = None,
    ) -> str:
        """Prepare a command; its identifier."""
        with translated(f"container {self.short_id}: preparing a command"):
            created = self._api.exec_create(
                self.id,
                list(argv),
                stdin=stdin,
                user=self._user if user is None else user,
                environment=dict(env),
                workdir=cwd,
            )
        return str(created["Id"])

    def exec_start(self, exec_id: str) -> ExecStream:
        return ExecStream.start(
            self._address, str(self._api.api_version), exec_id, float(API_TIMEOUT_S)
        )

    def _exec_state(self, exec_id: str) -> dict[str, Any]:
        with translated(f"container {self.short_id}: asking after a command"):
            return self._api.exec_inspect(exec_id)

    def exec_running(self, exec_id: str) -> bool:
        return bool(self._exec_state(exec_id).get("Running"))

    def exit_code(self, exec_id: str) -> int | None:
        """The exit code of a command; None while it runs."""
        state = self._exec_state(exec_id)
        code = state.get("ExitCode")
        return None if state.get("Running") or code is None else int(code)

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", user: str | None = None
    ) -> tuple[int, bytes]:
        """Run a command of our own to its end: exit code and output.

        Raises:
            SandboxUnavailableError: It did not end in time.
        """
        exec_id = self.exec_create(argv, env={}, cwd="/", stdin=bool(stdin), user=user)
        output = Demultiplexer(1 << 20)
        stream = self.exec_start(exec_id)
        try:
            deadline = time.monotonic() + API_TIMEOUT_S
            bounds = Bounds.until(lambda: deadline - time.monotonic(), 1 << 20)
            stop = stream.pump(stdin, output, bounds, lambda: self.exec_running(exec_id))
        finally:
            stream.close()
        code = self.exit_code(exec_id)
        if stop is not None or code is None:
            raise SandboxUnavailableError(f"container {self.short_id} does not answer")
        return code, bytes(output.stdout + output.stderr)

    # -- leaving nothing behind --

    def sweep(self) -> None:
        """End every process of the container's user.

        Raises:
            SandboxUnavailableError: Something cannot be ended: the container was killed for it.
        """
        if self._cgroup is None:
            code, output = self._run_soon(["/bin/sh", "-c", f"{_SWEEP}\n{READ_INSIDE}"])
            text = output.decode("utf-8", "replace")
            self._inside = parse_counters(text, text)
            self._require_ended(code == 0)
            return
        deadline = time.monotonic() + _SWEEP_TIMEOUT_S
        while not self.at_rest() and time.monotonic() < deadline:
            if self._cgroup.processes() is None:
                raise SandboxUnavailableError(f"container {self.short_id} is gone")
            self._cgroup.kill(self._uid)
        self._require_ended(self.at_rest())

    def kill_marked(self, mark: str) -> None:
        """End every process with that line in its environment."""
        if self._cgroup is None:
            code, _ = self._run_soon(["/bin/sh", "-c", _KILL_MARKED, "sh", mark])
            self._require_ended(code == 0)
            return
        deadline = time.monotonic() + _SWEEP_TIMEOUT_S
        while self._cgroup.kill(self._uid, mark):
            self._require_ended(time.monotonic() < deadline)

    def _run_soon(self, argv: Sequence[str]) -> tuple[int, bytes]:
        """Run a command that may first find no room for its process."""
        deadline = time.monotonic() + _SWEEP_TIMEOUT_S
        while True:
            code, output = self.run(argv)
            if code != _CANNOT_START or time.monotonic() > deadline:
                return code, output

    def at_rest(self) -> bool:
        if self._cgroup is None:
            return False
        # A process that has ended is counted until its parent took notice.
        for _ in range(4):
            if self._cgroup.processes() == _AT_REST:
                return True
            time.sleep(0.003)
        return False

    def _require_ended(self, ended: bool) -> None:
        if ended:
            return
        self.require_running()
        with translated(f"container {self.short_id}: killing it"):
            self._api.kill(self.id)
        raise SandboxUnavailableError(
            f"processes in container {self.short_id} could not be ended; it was killed"
        )

    def counters(self) -> Counters:
        """Totals now; where the kernel's cannot be seen, those of the last sweep."""
        seen = self._cgroup.counters() if self._cgroup is not None else self._inside
        if seen is None:
            raise SandboxUnavailableError(f"container {self.short_id} is gone")
        return seen

    # -- state --

    def _state(self) -> dict[str, Any]:
        with translated(f"container {self.short_id}"):
            found = cast("dict[str, Any]", self._api.inspect_container(self.id))
        return cast("dict[str, Any]", found["State"])

    def require_running(self) -> None:
        """Raises `SandboxUnavailableError` when the container has ended."""
        # Its end becomes known a moment after that of the command.
        for _ in range(10):
            state = self._state()
            if not state.get("Running"):
                raise SandboxUnavailableError(
                    f"container {self.short_id} has ended (exit code {state.get('ExitCode')})"
                )
            if self._cgroup is not None and self._cgroup.processes():
                return
            time.sleep(0.02)

    def pause(self, started: Sequence[str]) -> None:
        """Stop every process; returns once they stand still.

        `started` commands are waited for: one that is about to run would fail in a paused
        container.
        """
        deadline = time.monotonic() + _STATE_TIMEOUT_S
        for exec_id in started:
            while self._starting(exec_id) and time.monotonic() < deadline:
                time.sleep(0.005)
        self._reach(paused=True, act=self._api.pause)

    def unpause(self) -> None:
        self._reach(paused=False, act=self._api.unpause)

    def _starting(self, exec_id: str) -> bool:
        state = self._exec_state(exec_id)
        return not state.get("Pid") and state.get("ExitCode") is None

    def _reach(self, *, paused: bool, act: Callable[[str], object]) -> None:
        """Pausing can answer an error and leave the container in either state: look, do, look."""
        deadline = time.monotonic() + _STATE_TIMEOUT_S
        while True:
            state = self._state()
            if bool(state.get("Paused")) is paused:
                return
            if not state.get("Running"):
                raise SandboxUnavailableError(f"container {self.short_id} has ended")
            if time.monotonic() > deadline:
                raise SandboxUnavailableError(
                    f"container {self.short_id} cannot be {'paused' if paused else 'resumed'}"
                )
            with translated(f"container {self.short_id}"):
                try:
                    act(self.id)
                except docker.errors.APIError:
                    time.sleep(0.05)
